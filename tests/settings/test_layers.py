from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dynaconf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secureml.errors import ConfigurationError, SecureMLWarning
from secureml.secret_types import SecretText
from secureml.settings import SETTINGS, Layers, Settings, is_reserved, load_settings
from secureml.settings.environments import ENVIRONMENTS

Run = Callable[..., str]
Write = Callable[..., Path]

NOT_PARSED = [
    "@format {env[HOME]}",
    "@jinja {{ env.HOME }}",
    "@read_file /etc/hostname",
    "@get VAULT_PATH",
    "@del",
    "@none",
    "@reset x",
    "@int 5",
    "@merge a",
    "12345678",
    "12e45678",
    "0x10",
    "0xdeadbeef",
    "1234#tail",
    "'quoted'",
    '"quoted"',
    "true",
    "[1, 2]",
    "{a = 1}",
    "2024-01-01",
    "{this.VAULT_TOKEN}",
]


def load(environment: str | None = None, **variables: str) -> Settings:
    return load_settings(Layers(environment=environment), environ=variables)


# Precedence. Each layer sets the same setting; a layer is removed at a time, strongest first.

STACK = {
    "argument": "from_argument",
    "SECUREML_MASTER_KEY_NAME": "from_variable",
    "Vault secret/secureml/staging/settings": "from_vault",
    "host application": "from_host",
    "settings.local.toml [staging]": "from_local_staging",
    "settings.local.toml [default]": "from_local_default",
    "settings.toml [staging]": "from_main_staging",
    "settings.toml [default]": "from_main_default",
    "default": "master_key",
}


@pytest.mark.parametrize("strongest", range(len(STACK)))
def test_each_layer_beats_the_next_one(write: Write, strongest: int) -> None:
    present = dict(list(STACK.items())[strongest:])

    def in_file(name: str) -> str:
        return "".join(
            f"[{section}]\nmaster_key_name = '{present[origin]}'\n"
            for section in ("default", "staging")
            if (origin := f"{name} [{section}]") in present
        )

    def mapping(origin: str) -> dict[str, object] | None:
        return {"master_key_name": present[origin]} if origin in present else None

    write(in_file("settings.toml"))
    write(in_file("settings.local.toml"), "settings.local.toml")
    variable = "SECUREML_MASTER_KEY_NAME"
    found = load_settings(
        Layers(
            environment="staging",
            host=mapping("host application"),
            arguments=mapping("argument") or {},
        ),
        environ={variable: present[variable]} if variable in present else {},
        vault_record=mapping("Vault secret/secureml/staging/settings"),
    )
    origin, value = next(iter(present.items()))
    assert found.master_key_name == value
    assert found.origins["master_key_name"] == origin


def test_a_users_default_beats_the_packaged_production(write: Write) -> None:
    assert load("production").use_env_fallback is False
    write("[default]\nuse_env_fallback = true\n")
    found = load("production")
    assert found.use_env_fallback is True
    assert found.origins["use_env_fallback"] == "settings.toml [default]"


def test_later_files_beat_earlier_ones_section_by_section(write: Write) -> None:
    first = write("[default]\nvault_path = 'a'\n[staging]\nvault_path = 'b'\n", "first.toml")
    second = write("[default]\nvault_path = 'c'\n", "second.toml")
    write("[default]\nvault_path = 'never read'\n")
    assert load_settings(Layers((first, second), "staging"), environ={}).vault_path == "c"
    assert load_settings(Layers((second, first), "staging"), environ={}).vault_path == "b"


# Environments.


@pytest.mark.parametrize(
    ("environment", "env_fallback"),
    [(None, True), ("development", True), ("staging", True), ("production", False), ("qa", False)],
)
def test_each_environment_has_its_packaged_policy(
    write: Write, environment: str | None, env_fallback: bool
) -> None:
    write("[qa]\n")
    found = load(environment)
    assert found.environment == environment
    assert found.use_env_fallback is env_fallback
    assert found.use_default_fallback is False


def test_a_variable_selects_the_environment_and_an_argument_wins_over_it() -> None:
    found = load(SECUREML_ENV="Prod")
    assert (found.environment, found.origins["environment"]) == ("production", "SECUREML_ENV")
    found = load("stage", SECUREML_ENV="prod")
    assert (found.environment, found.origins["environment"]) == ("staging", "argument")
    found = load(SECUREML_ENV="")
    assert (found.environment, found.origins["environment"]) == (None, "default")


@pytest.mark.parametrize("blank", [" ", "\n"])
def test_a_blank_environment_is_an_error(blank: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no environment"):
        load(SECUREML_ENV=blank)


def test_an_empty_environment_argument_is_an_error_and_not_an_absent_one() -> None:
    with pytest.raises(ConfigurationError, match="there is no environment ''"):
        load("", SECUREML_ENV="development")


def test_a_misspelt_environment_is_an_error_and_not_the_default_one(write: Write) -> None:
    write("[default]\nvault_path = 'a'\n[production]\nvault_path = 'b'\n")
    with pytest.raises(ConfigurationError, match="did you mean 'production'"):
        load("producton")


def test_an_environment_is_declared_by_a_file_that_is_read_in_it(write: Write) -> None:
    write("[default]\n")
    write("[canary]\n", "settings.local.toml")
    with pytest.raises(ConfigurationError, match="there is no environment 'canary'"):
        load("canary")
    write("[canary]\nvault_path = 'c'\n")
    with pytest.warns(SecureMLWarning, match="is not read in canary"):
        assert load("CANARY").vault_path == "c"
    with pytest.raises(ConfigurationError, match="there is no environment 'canary'"):
        load_settings(Layers(files=(), environment="canary"), environ={})


def test_only_the_selected_section_applies(write: Write) -> None:
    write("[development]\nvault_path = 'd'\n[production]\nvault_path = 'p'\n")
    assert load().vault_path == "secureml"
    assert load("dev").vault_path == "d"
    assert load("prod").vault_path == "p"


# The local file and production.


def test_production_passes_over_the_local_file_and_says_so(write: Write) -> None:
    write("this is not even TOML", "settings.local.toml")
    with pytest.warns(SecureMLWarning, match=r"settings\.local\.toml is not read in production"):
        assert load("PROD").vault_path == "secureml"
    with pytest.raises(ConfigurationError, match="is not TOML"):
        load("staging")


@pytest.mark.parametrize("environment", ["PROD", "production-eu"])
def test_a_local_file_that_is_named_is_an_error_in_a_strict_environment(
    write: Write, environment: str
) -> None:
    main = write("[production-eu]\n", "app.toml")
    local = write("[default]\nvault_path = 'local'\n", "app.local.toml")
    for layers, variables in (
        (Layers((main, local), environment), {}),
        (Layers(environment=environment), {"SECUREML_SETTINGS_FILE": "app.local.toml"}),
    ):
        with pytest.raises(ConfigurationError, match=r"app\.local\.toml is a local file, and none"):
            load_settings(layers, environ=variables)
    assert load_settings(Layers((main, local), "staging"), environ={}).vault_path == "local"


def test_a_file_that_is_named_twice_counts_at_its_last_place(write: Write) -> None:
    first = write("[default]\nvault_path = 'a'\n", "first.toml")
    second = write("[default]\nvault_path = 'b'\nvault_mount = 'b'\n", "second.toml")
    found = load_settings(Layers((first, second, first)), environ={})
    assert (found.vault_path, found.vault_mount) == ("a", "b")


@pytest.mark.parametrize("environment", ["production", "production-eu"])
def test_a_strict_environment_takes_nothing_from_its_section_of_the_local_file(
    write: Write, environment: str
) -> None:
    write("[production]\n[production-eu]\n")
    write(f"[{environment}]\nuse_env_fallback = true\n", "settings.local.toml")
    with pytest.warns(SecureMLWarning, match=f"is not read in {environment}"):
        assert not load(environment).use_env_fallback


def test_production_without_a_local_file_causes_no_warning(write: Write) -> None:
    write("[production]\nvault_path = 'p'\n")
    assert load("production").vault_path == "p"


# The floor.

LAYERS = ["argument", "variable", "vault", "host", "local", "main", "section"]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("environment", [None, "development", "staging", "production", "qa"])
def test_the_floor_holds_in_every_environment_whatever_layer_tries(
    write: Write, environment: str | None, layer: str
) -> None:
    text = "use_default_fallback = true\n"
    write("[qa]\n" + ("[default]\n" + text if layer == "main" else ""))
    if layer == "section" and environment not in (None, "qa"):
        write(f"[{environment}]\n{text}[qa]\n")
    elif layer == "section":
        write(f"[qa]\n{text}" + (f"[default]\n{text}" if environment is None else ""))
    if layer == "local" and environment not in ("production", "qa"):
        write("[default]\n" + text, "settings.local.toml")

    def attempt() -> Settings:
        on: dict[str, object] = {"use_default_fallback": True}
        return load_settings(
            Layers(
                environment=environment,
                host=on if layer == "host" else None,
                arguments=on if layer == "argument" else {},
            ),
            environ={"SECUREML_USE_DEFAULT_FALLBACK": "true"} if layer == "variable" else {},
            vault_record=on if layer == "vault" else None,
        )

    if layer == "vault":
        with pytest.raises(ConfigurationError, match="use_default_fallback can't be set in Vault"):
            attempt()
    elif layer == "local" and environment in ("production", "qa"):
        assert attempt().use_default_fallback is False
    elif environment == "development" or (environment is None and layer == "argument"):
        assert attempt().use_default_fallback is True
    else:
        with pytest.raises(ConfigurationError, match="use_default_fallback can") as caught:
            attempt()
        assert str(environment or "no environment is selected") in str(caught.value)


def test_the_floor_is_checked_against_the_merged_value(write: Write) -> None:
    write("[default]\nuse_default_fallback = true\n[production]\nuse_default_fallback = false\n")
    assert load("development").use_default_fallback is True
    assert load("production").use_default_fallback is False
    with pytest.raises(ConfigurationError, match=r"set by: settings\.toml \[default\]"):
        load("staging")


@pytest.mark.parametrize(
    ("section", "line", "problem"),
    [
        ("production", "use_default_fallback = true", "use_default_fallback can't be true in prod"),
        ("staging", "vault_tls_verify = false", "vault_tls_verify can be false only in dev"),
        ("canary", "vault_url = 'http://host'", "can't be plain http to another machine in canary"),
    ],
)
@pytest.mark.parametrize("environment", [None, "development", "production"])
@pytest.mark.parametrize("name", ["settings.toml", "settings.local.toml"])
def test_each_section_of_each_file_keeps_to_the_floor_selected_or_not(
    write: Write, section: str, line: str, problem: str, environment: str | None, name: str
) -> None:
    if name == "settings.local.toml" and environment == "production":
        return
    write(f"[{section}]\n{line}\n", name)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        load(environment)
    assert len(caught.value.problems) == 1
    assert f"{name} [{section}]" in str(caught.value)


def test_a_section_that_another_layer_may_complete_is_not_below_the_floor(write: Write) -> None:
    write("[default]\nuse_default_fallback = true\n[production]\naudit_required = true\n")
    assert load("development").use_default_fallback


def test_the_floor_is_told_together_with_other_problems() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("staging", SECUREML_USE_DEFAULT_FALLBACK="true", SECUREML_CACHE_TTL="x")
    assert len(caught.value.problems) == 2
    assert "use_default_fallback can't be true in staging" in str(caught.value)


# Text stays as it is.


@pytest.mark.parametrize("text", NOT_PARSED)
def test_no_layer_parses_text(write: Write, text: str) -> None:
    quoted = '"' + text.replace('"', '\\"') + '"'
    path = write(f"[default]\nvault_namespace = {quoted}\nvault_token = {quoted}\n")
    token = None if " " in text else text
    if token is None:
        path = write(f"[default]\nvault_namespace = {quoted}\n")
    as_mapping = {"vault_namespace": text} | ({"vault_token": token} if token else {})
    as_variables = {"SECUREML_" + name.upper(): value for name, value in as_mapping.items()}
    for found in (
        load_settings(Layers(files=(path,)), environ={}),
        load_settings(Layers(files=()), environ=as_variables),
        load_settings(Layers(files=(), host=as_mapping), environ={}),
        load_settings(Layers(files=(), arguments=as_mapping), environ={}),
    ):
        assert found.vault_namespace == text
        assert found.vault_token == (SecretText(token) if token else None)
    if "#" not in text:
        record = {"master_key_name": text}
        found = load_settings(Layers(files=()), environ={}, vault_record=record)
        assert found.master_key_name == text


TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)


def may_name_a_key(text: str) -> bool:
    return text.strip() not in {"", ".", "..", *ENVIRONMENTS} and not is_reserved(text)


KEY_NAME = st.text(st.characters(categories=["L", "N", "Sm"]) | st.sampled_from("@{}[]'\" =,-_:."))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT)
def test_any_text_comes_out_of_every_layer_unchanged(write: Write, text: str) -> None:
    escaped = "".join(f"\\U{ord(character):08x}" for character in text)
    path = write(f'[default]\nvault_token_file = "/{escaped}"\n')
    assert load_settings(Layers(files=(path,)), environ={}).vault_token_file == "/" + text
    mapping = {"vault_token_file": "/" + text}
    for found in (
        load_settings(Layers(files=()), environ={"SECUREML_VAULT_TOKEN_FILE": "/" + text}),
        load_settings(Layers(files=(), host=mapping), environ={}),
        load_settings(Layers(files=(), arguments=mapping), environ={}),
    ):
        assert found.vault_token_file == "/" + text


@given(text=KEY_NAME.filter(may_name_a_key))
def test_any_key_name_comes_out_of_the_vault_record_unchanged(text: str) -> None:
    record = {"master_key_name": text}
    found = load_settings(Layers(files=()), environ={}, vault_record=record)
    assert found.master_key_name == text


def test_a_real_variable_is_read_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECUREML_VAULT_USERNAME", "@format {env[HOME]}")
    monkeypatch.setenv("SECUREML_CACHE_TTL", "60")
    found = load_settings(Layers())
    assert found.vault_username == "@format {env[HOME]}"
    assert found.cache_ttl == 60.0
    assert found.origins["cache_ttl"] == "SECUREML_CACHE_TTL"


# Problems.


def test_every_problem_of_every_layer_is_told_at_once_and_no_value_of_any(write: Write) -> None:
    main = write(
        "[default]\nvault_ulr = 'hunter2'\nvault_timeout = 'hunter2'\nhunter = 1\n"
        "[development]\nmaster_key_name = 2024-01-01\n"
        "[canary]\nvault_auth = 'hunter2'\n"
    )
    write("[default]\nvault_path = 'hunter2/../x'\n[default.tables]\n", "settings.local.toml")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(
            Layers(
                environment="development",
                host={"USE_ENV_FALLBACK": "hunter2", "debug": "hunter2"},
                arguments={"vault_token": "hunter2\n", "environment": "hunter2"},
            ),
            environ={"SECUREML_CACHE_TTL": "hunter2", "SECUREML_VAULT_URL": "http://a:hunter2@b"},
            vault_record={"vault_url": "hunter2", "cache_ttl": "hunter2", "value": "hunter2"},
        )
    text = str(caught.value)
    for problem in (
        f"{main} [default]: unknown setting 'vault_ulr'; did you mean 'vault_url'?",
        f"{main} [default]: vault_timeout must be a number, and is text",
        f"{main} [default]: unknown: 'hunter' (if another program owns the file",
        f"{main} [development]: master_key_name must be text, and is a date",
        f"{main} [canary]: vault_auth must be one of: token",
        "settings.local.toml [default]: vault_path must not hold an empty, '.' or '..' segment",
        "settings.local.toml [default]: unknown: 'tables'",
        "host application: use_env_fallback must be a boolean, and is text",
        "host application: unknown: 'debug'",
        "argument: vault_token holds white space",
        "argument: the environment is chosen by SECUREML_ENV or in code",
        "SECUREML_CACHE_TTL: cache_ttl must be a plain number",
        "SECUREML_VAULT_URL: vault_url must not hold a user name or password",
        "Vault secret/secureml/development/settings: vault_url can't be set in Vault",
        "Vault secret/secureml/development/settings: cache_ttl must be a plain number",
        "Vault secret/secureml/development/settings: unknown: 'value'",
    ):
        assert problem in text, problem
    assert len(caught.value.problems) == 16
    assert "hunter2" not in text
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "name", ["VAULT_URL", "Vault_Url", "vault-url", "vaulturl", "vault_uri", "vault_url "]
)
def test_a_name_in_another_spelling_is_an_error_that_gives_the_right_one(
    write: Write, name: str
) -> None:
    write(f'[default]\n"{name}" = "http://host"\n')
    with pytest.raises(ConfigurationError, match="did you mean 'vault_url'"):
        load()


def test_an_unknown_argument_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="argument: unknown setting 'vault_ulr'; did you"):
        load_settings(Layers(arguments={"vault_ulr": "http://host"}), environ={})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"a\.toml can't be read"):
        load_settings(Layers(files=(tmp_path / "a.toml",)), environ={})
    with pytest.raises(ConfigurationError, match=r"b\.toml, which SECUREML_SETTINGS_FILE names"):
        load(SECUREML_SETTINGS_FILE="b.toml")


def test_the_file_that_a_variable_names_is_read(write: Write) -> None:
    write("[default]\nvault_path = 'found'\n")
    write("[default]\nvault_path = 'named'\n", "etc/app.toml")
    write("[default]\nvault_mount = 'local'\n", "etc/app.local.toml")
    found = load(SECUREML_SETTINGS_FILE="etc/app.toml")
    assert (found.vault_path, found.vault_mount) == ("named", "local")
    assert found.origins["vault_mount"] == "app.local.toml [default]"


def test_a_relative_path_in_a_file_starts_at_that_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("[default]\nvault_token_file = '.token'\nvault_ca_cert = '/etc/ca.pem'\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    found = load()
    assert found.vault_token_file == str(tmp_path / ".token")
    assert found.vault_ca_cert == "/etc/ca.pem"


# Relative paths.


@pytest.mark.parametrize("layer", ["argument", "host", "variable", "by hand"])
def test_a_relative_path_starts_where_the_settings_were_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    paths = {"vault_token_file": "a/b", "vault_ca_cert": "~/ca.pem", "audit_log": "~nobody-here/x"}
    variables = {f"SECUREML_{name.upper()}": path for name, path in paths.items()}
    layers = Layers(
        files=(),
        host=paths if layer == "host" else None,
        arguments=paths if layer == "argument" else {},
    )
    if layer == "by hand":
        found = Settings(**paths)  # type: ignore[arg-type]  # names of a dict are not known
    else:
        found = load_settings(layers, environ=variables if layer == "variable" else {})
    assert found.vault_token_file == f"{tmp_path}/a/b"
    assert found.vault_ca_cert == "/home/someone/ca.pem"
    assert found.audit_log == f"{tmp_path}/~nobody-here/x"


def test_the_relative_paths_of_layers_stay_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = Layers(files=(), arguments={"vault_token_file": "x", "vault_ca_cert": Path("y")})
    monkeypatch.chdir("/")
    found = load_settings(layers, environ={})
    assert (found.vault_token_file, found.vault_ca_cert) == (f"{tmp_path}/x", f"{tmp_path}/y")


@pytest.mark.parametrize(
    "recipe",
    [
        {"files": ["a.toml"]},
        {"files": [], "arguments": {"vault_token_file": "x"}},
        {"files": [], "host": {"vault_token_file": "x"}},
        {},
    ],
)
def test_a_relative_path_without_a_working_directory_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigurationError, match="which doesn't exist any more"):
        load_settings(Layers(**recipe), environ={})
    assert load_settings(Layers(files=()), environ={"SECUREML_VAULT_TOKEN_FILE": "/x"})
    monkeypatch.chdir(tmp_path)


# Settings that mean one thing.

PAIRS = ["vault_token", "vault_secret_id", "vault_password", "vault_jwt"]
ORDER = ["main default", "main staging", "local default", "host", "BAO", "variable", "argument"]


def place(write: Write, given: dict[str, dict[str, str]]) -> Settings:
    """Load settings of which each layer sets something."""
    for stem in ("main", "local"):
        sections = [
            f"[{section}]\n" + "".join(f"{name} = '{v}'\n" for name, v in given[layer].items())
            for section in ("default", "staging")
            if (layer := f"{stem} {section}") in given
        ]
        write("".join(sections), "settings.toml" if stem == "main" else "settings.local.toml")
    variables = {f"SECUREML_{n.upper()}": v for n, v in given.get("variable", {}).items()}
    variables |= {f"BAO_{n[6:].upper()}": v for n, v in given.get("BAO", {}).items()}
    layers = Layers(
        environment="staging", host=given.get("host"), arguments=given.get("argument", {})
    )
    return load_settings(layers, environ=variables)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    ("weak", "strong"),
    [(weak, strong) for strong in ORDER for weak in ORDER[: ORDER.index(strong)]],
)
def test_a_stronger_layers_secret_or_file_of_it_unsets_the_weaker_ones(
    write: Write, name: str, weak: str, strong: str
) -> None:
    secret, file = {name: "s3cret"}, {f"{name}_file": "/run/file"}
    for weaker, stronger in ((secret, file), (file, secret)):
        if (weak == "BAO" and weaker != {"vault_token": "s3cret"}) or (
            strong == "BAO" and stronger != {"vault_token": "s3cret"}
        ):
            continue
        found = place(write, {weak: weaker, strong: stronger})
        expected = stronger.get(name)
        assert getattr(found, name) == (expected and SecretText(expected))
        assert getattr(found, f"{name}_file") == stronger.get(f"{name}_file")


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("layer", [layer for layer in ORDER if layer != "BAO"])
def test_a_secret_and_its_file_in_one_layer_are_an_error_that_names_the_place(
    write: Write, name: str, layer: str
) -> None:
    told = {
        "main default": "settings.toml [default]",
        "main staging": "settings.toml [staging]",
        "local default": "settings.local.toml [default]",
        "host": "host application",
        "variable": f"SECUREML_{name.upper()}, SECUREML_{name.upper()}_FILE",
        "argument": "argument",
    }
    both = {name: "hunter2", f"{name}_file": "/run/file"}
    with pytest.raises(ConfigurationError) as caught:
        place(write, {layer: both})
    assert f"{told[layer]}: {name} and {name}_file exclude each other" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="exclude each other"):
        Settings(**both)  # type: ignore[arg-type]  # names of a dict are not known


@pytest.mark.parametrize(
    ("weak", "strong"), [("main default", "main staging"), ("host", "argument")]
)
def test_a_certificate_does_not_get_the_key_of_a_weaker_layer(
    write: Write, weak: str, strong: str
) -> None:
    weaker = {"vault_client_cert": "/weak.pem", "vault_client_key": "/weak.key"}
    found = place(write, {weak: weaker, strong: {"vault_client_cert": "/both.pem"}})
    assert (found.vault_client_cert, found.vault_client_key) == ("/both.pem", None)
    stronger = {"vault_client_cert": "/c.pem", "vault_client_key": "/c.key"}
    found = place(write, {weak: {"vault_client_cert": "/both.pem"}, "variable": stronger})
    assert (found.vault_client_cert, found.vault_client_key) == ("/c.pem", "/c.key")


def test_every_file_of_a_secret_is_declared_to_exclude_the_secret() -> None:
    by_name = {setting.name: setting for setting in SETTINGS}
    twins = {name for name in by_name if f"{name}_file" in by_name}
    assert twins == set(PAIRS)
    for name in twins:
        secret, file = by_name[name], by_name[f"{name}_file"]
        assert secret.group == file.group is not None
        assert secret.exclusive
        assert file.exclusive


# The record in Vault.


def test_vaults_record_may_hold_text_as_vaults_command_line_writes_it() -> None:
    record = {"cache_ttl": "60", "master_key_name": "key_2"}
    found = load_settings(Layers(files=()), environ={}, vault_record=record)
    assert (found.cache_ttl, found.master_key_name) == (60.0, "key_2")
    assert found.origins["cache_ttl"] == "Vault secret/secureml/settings"
    found = load_settings(Layers(files=()), environ={}, vault_record={"cache_ttl": 60})
    assert found.cache_ttl == 60.0


def test_the_origin_of_a_value_of_vaults_record_is_the_records_path(write: Write) -> None:
    write("[staging]\nvault_path = 'team/app'\n")
    found = load_settings(
        Layers(environment="staging", arguments={"vault_mount": "kv"}),
        environ={},
        vault_record={"master_key_name": "a"},
    )
    assert found.origins["master_key_name"] == "Vault kv/team/app/staging/settings"


@pytest.mark.parametrize(
    "name",
    [
        "vault_url",
        "vault_token",
        "vault_token_file",
        "vault_path",
        "vault_mount",
        "vault_namespace",
        "vault_auth",
        "vault_timeout",
        "vault_ca_cert",
        "vault_settings",
        "use_env_fallback",
        "use_default_fallback",
        "environment",
    ],
)
def test_vaults_record_may_set_neither_the_connection_nor_the_policy(name: str) -> None:
    with pytest.raises(ConfigurationError, match="Vault secret/secureml/settings: "):
        load_settings(Layers(files=()), environ={}, vault_record={name: True})


def test_an_empty_record_in_vault_changes_nothing() -> None:
    without = load_settings(Layers(files=()), environ={})
    assert load_settings(Layers(files=()), environ={}, vault_record={}) == without


# The host application.


def test_a_section_of_a_real_dynaconf_object_is_read_and_not_changed(write: Write) -> None:
    path = write(
        "[default.secureml]\nvault_path = 'host'\nVAULT_URL = 'http://host/'\ncache_ttl = 60\n",
        "host.toml",
    )
    host = dynaconf.Dynaconf(settings_files=[str(path)], environments=True, env="default")
    before = host.as_dict()
    found = load_settings(Layers(files=(), host=host.SECUREML), environ={})
    assert (found.vault_path, found.vault_url, found.cache_ttl) == ("host", "http://host", 60.0)
    assert found.origins["vault_url"] == "host application"
    assert host.as_dict() == before
    host.set("SECUREML.vault_path", "changed")
    assert load_settings(Layers(files=(), host=host.SECUREML), environ={}).vault_path == "changed"


def test_a_whole_dynaconf_object_is_no_section() -> None:
    with pytest.raises(TypeError, match="one section of the host's settings"):
        Layers(host=dynaconf.Dynaconf())


def test_a_setting_that_the_host_spells_in_two_ways_is_an_error() -> None:
    host = {"vault_path": "a", "VAULT_PATH": "b", "Vault_Mount": None, "vault_mount": "kv"}
    with pytest.raises(ConfigurationError, match="vault_path is set in two spellings") as caught:
        load_settings(Layers(files=(), host=host), environ={})
    assert len(caught.value.problems) == 1


def test_a_setting_that_the_host_leaves_none_is_passed_over(write: Write) -> None:
    write("[default]\nvault_path = 'file'\n")
    found = load_settings(Layers(host={"vault_path": None, "vault_url": None}), environ={})
    assert found.vault_path == "file"


# The recipe.


def test_arguments_that_are_none_come_from_the_other_layers() -> None:
    layers = Layers(arguments={"vault_path": None, "vault_mount": "kv"})
    found = load_settings(layers, environ={"SECUREML_VAULT_PATH": "variable"})
    assert (found.vault_path, found.vault_mount) == ("variable", "kv")


@pytest.mark.parametrize(
    "wrong",
    [
        {"files": "settings.toml"},
        {"files": Path("settings.toml")},
        {"files": (1,)},
        {"environment": 1},
        {"host": [("vault_path", "a")]},
    ],
)
def test_layers_of_the_wrong_type_are_a_type_error(wrong: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Layers(**wrong)  # type: ignore[arg-type]  # the wrong type is the test


def test_layers_show_no_secret_and_copy_their_arguments() -> None:
    arguments: dict[str, object] = {"vault_token": "hunter2", "vault_path": "a"}
    layers = Layers(arguments=arguments, host={"vault_token": "hunter2"})
    assert "hunter2" not in repr(layers)
    assert "hunter2" not in repr(dict(layers.arguments))
    arguments["vault_path"] = "b"
    assert load_settings(layers, environ={}).vault_path == "a"


def test_the_files_of_layers_stay_where_they_were(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("[default]\nvault_path = 'here'\n", "here.toml")
    layers = Layers(files=[Path("here.toml")])  # type: ignore[arg-type]  # any sequence is taken
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load_settings(layers, environ={}).vault_path == "here"


# Variables.


def test_a_variable_that_misspells_a_setting_is_warned_of_without_its_value() -> None:
    with pytest.warns(SecureMLWarning) as caught:
        load(SECUREML_VAULT_TOKN="hunter2")
    assert str(caught[0].message) == (
        "SECUREML_VAULT_TOKN sets no setting; did you mean SECUREML_VAULT_TOKEN?"
    )


def test_a_variable_set_to_nothing_counts_as_unset(write: Write) -> None:
    write("[default]\nvault_path = 'file'\nvault_settings = true\n")
    found = load(SECUREML_VAULT_PATH="", SECUREML_VAULT_SETTINGS="", SECUREML_VAULT_URL="")
    assert (found.vault_path, found.vault_settings, found.vault_url) == ("file", True, None)


# What it costs, and to whom.


def test_nothing_but_the_merge_loads_dynaconf_and_nothing_loads_hvac(run: Run) -> None:
    program = (
        "import sys, secureml.settings as s\n"
        "assert 'dynaconf' not in sys.modules\n"
        "s.load_settings(s.Layers(files=()), environ={})\n"
        "assert 'dynaconf' in sys.modules\n"
        # Dynaconf loads Flask if that is installed, and with it click.
        "assert not {'hvac', 'requests', 'pandas'} & set(sys.modules)\n"
    )
    run(program, "-W", "error")


def test_loading_leaves_the_process_as_it_was(write: Write) -> None:
    write("[default]\nvault_path = 'a'\n")
    write("SECUREML_VAULT_PATH=evil\n", ".env")
    before = dict(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load()
    assert dict(os.environ) == before


def test_eight_threads_get_equal_settings(write: Write) -> None:
    write("[default]\nvault_path = 'd'\n[development]\nvault_path = 'dev'\n[staging]\n")
    expected = {name: load(name) for name in ("development", "staging", "production")}
    wrong: list[object] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for turn in range(200):
            name = list(expected)[(number + turn) % 3]
            found = load(name)
            if found != expected[name] or dict(found.origins) != dict(expected[name].origins):
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_may_be_the_first_to_load(write: Write, run: Run) -> None:
    write("[default]\nvault_path = 'd'\n")
    program = (
        "import threading, secureml.settings as s\n"
        "found, start = [], threading.Barrier(8)\n"
        "def work():\n"
        "    start.wait()\n"
        "    found.append(s.load_settings(s.Layers(), environ={}).vault_path)\n"
        "threads = [threading.Thread(target=work) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert found == ['d'] * 8, found\n"
    )
    run(program)
