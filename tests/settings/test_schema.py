from __future__ import annotations

import copy
import dataclasses
import datetime
import math
import pickle
from pathlib import Path

import pytest

from secureml.errors import ConfigurationError
from secureml.secret_types import SecretText
from secureml.settings import (
    RESERVED_SECRET_NAMES,
    SETTINGS,
    Layers,
    Setting,
    Settings,
    is_reserved,
    load_settings,
    variable_of,
)

TOKEN = "hvs.hunter2"
BY_NAME = {setting.name: setting for setting in SETTINGS}


def test_the_table_declares_what_the_dataclass_holds() -> None:
    columns = {column.name for column in dataclasses.fields(Settings)}
    assert columns - {"environment", "environments", "origins"} == set(BY_NAME)
    assert {name for name, setting in BY_NAME.items() if setting.secret} == {
        "vault_token",
        "vault_secret_id",
        "vault_password",
        "vault_jwt",
    }
    assert {name for name, setting in BY_NAME.items() if setting.vault_may_set} == {
        "key_backend",
        "master_key_name",
        "settings_ttl",
        "cache_ttl",
        "cache_size",
        "cache_max_uses",
        "cache_negative_ttl",
        "stale_ttl",
    }
    assert all(setting.doc.endswith(".") for setting in SETTINGS)


def test_each_default_passes_its_own_check() -> None:
    for setting in SETTINGS:
        assert setting.convert(setting.default) == setting.default


@pytest.mark.parametrize("text", ["true", "True", "1", "yes", "ON"])
def test_true_is_read_from_text(text: str) -> None:
    assert BY_NAME["vault_settings"].parse(text) is True


@pytest.mark.parametrize("text", ["false", "FALSE", "0", "no", "off"])
def test_false_is_read_from_text(text: str) -> None:
    assert BY_NAME["use_env_fallback"].parse(text) is False


@pytest.mark.parametrize("text", ["", " true", "t", "2", "enabled", "@bool true", "none"])
def test_no_other_text_is_a_boolean(text: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^vault_settings must be true or false \(SML-100\)$"
    ):
        BY_NAME["vault_settings"].parse(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0.0), ("60", 60.0), ("0.5", 0.5), ("+1", 1.0)])
def test_a_number_is_read_from_text(text: str, number: float) -> None:
    assert BY_NAME["cache_ttl"].parse(text) == number


@pytest.mark.parametrize(
    "text", ["", "1e3", "0x10", "1_000", " 1", "1 ", "1.", ".5", "inf", "nan", "١", "5s", "-1"]
)
def test_no_other_text_is_a_number(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^cache_ttl must be"):
        BY_NAME["cache_ttl"].parse(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("60", 60), ("+1", 1), ("007", 7)])
def test_a_whole_number_is_read_from_text(text: str, number: int) -> None:
    value = BY_NAME["cache_max_uses"].parse(text)
    assert (value, type(value)) == (number, int)


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "0x10", "1_000", " 1", "١", "-1", "9" * 5000])
def test_no_other_text_is_a_whole_number(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^cache_max_uses must be"):
        BY_NAME["cache_max_uses"].parse(text)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 10**400, 0, 0.0, -1])
def test_a_timeout_is_finite_and_more_than_nothing(value: float) -> None:
    with pytest.raises(ConfigurationError, match=r"^vault_timeout must be"):
        BY_NAME["vault_timeout"].convert(value)


def test_a_number_comes_out_as_a_float_even_where_an_integer_went_in() -> None:
    value = BY_NAME["cache_ttl"].convert(0)
    assert value == 0.0
    assert type(value) is float


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("master_key_name", 12, "master_key_name must be text, and is a number"),
        ("master_key_name", 1.5, "master_key_name must be text, and is a number"),
        ("master_key_name", True, "master_key_name must be text, and is a boolean"),
        ("master_key_name", None, "master_key_name must be text, and is nothing"),
        ("master_key_name", ["a"], "master_key_name must be text, and is an array"),
        ("master_key_name", {"a": 1}, "master_key_name must be text, and is a table"),
        ("master_key_name", b"key", "master_key_name must be text, and is bytes"),
        ("master_key_name", datetime.date(2024, 1, 1), "must be text, and is a date"),
        ("master_key_name", datetime.datetime(2024, 1, 1), "must be text, and is a date and time"),
        ("master_key_name", datetime.time(1, 2), "must be text, and is a time"),
        ("master_key_name", Path("key"), "master_key_name must be text, and is "),
        ("vault_token", 12345678, "vault_token must be text, and is a number"),
        ("vault_timeout", "5", "vault_timeout must be a number, and is text"),
        ("vault_timeout", True, "vault_timeout must be a number, and is a boolean"),
        ("vault_settings", 1, "vault_settings must be a boolean, and is a number"),
        ("vault_settings", "true", "vault_settings must be a boolean, and is text"),
        ("vault_auth", "tokn", "vault_auth must be one of: token"),
        ("vault_url", "", "vault_url is empty; leave it out instead"),
        ("vault_token", "", "vault_token is empty; leave it out instead"),
        ("vault_token", SecretText(""), "vault_token is empty; leave it out instead"),
        ("vault_token_file", "a\0b", "vault_token_file holds a NUL character"),
        ("cache_ttl", -1, "cache_ttl must be 0 or more"),
        ("cache_size", 0, "cache_size must be 1 or more"),
        ("cache_size", 1.0, "cache_size must be a whole number, and is a number"),
        ("cache_size", True, "cache_size must be a whole number, and is a boolean"),
        ("cache_size", "5", "cache_size must be a whole number, and is text"),
        ("settings_ttl", 0.5, "settings_ttl must be 1 or more"),
        ("vault_timeout", 1e10, "vault_timeout must be 1000000000 or less"),
        ("vault_connect_timeout", 10**400, "vault_connect_timeout must be a finite number"),
        ("stale_ttl", 1e10, "stale_ttl must be 1000000000 or less"),
        ("cache_size", 10**400, "cache_size must be 1000000000 or less"),
        ("cache_size", -(10**400), "cache_size must be 1 or more"),
        ("master_key_name", "vault-token", "master_key_name can't be the name of a setting"),
        ("master_key_name", "key_file", "master_key_name can't be the name of a setting"),
        ("vault_tls_server_name", ".example.com", "vault_tls_server_name must be the name of a"),
        ("vault_tls_server_name", "a b", "vault_tls_server_name must be the name of a host"),
        ("vault_tls_server_name", f"{'a' * 64}.com", "vault_tls_server_name must be the name of"),
        ("vault_url", "https://.example.com", "vault_url has no valid host and port"),
        ("vault_url", f"https://{'a' * 64}", "vault_url has no valid host and port"),
        ("vault_url", "https://h, https://a..b", "vault_url has no valid host and port"),
        ("vault_url", "https://h/v1", "vault_url must not hold '/v1'"),
        ("vault_url", f"unix:///{'a' * 107}", "vault_url must name a socket by a path of at most"),
        ("vault_cluster_hosts", "a..b", "vault_cluster_hosts has no valid host and port"),
        ("vault_proxy", "http://a..b", "vault_proxy has no valid host and port"),
        ("vault_password", "hunter2\udcff", "vault_password is not UTF-8 text"),
    ],
)
def test_a_value_of_another_type_is_refused_and_not_cast(
    name: str, value: object, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BY_NAME[name].convert(value)
    assert problem in str(caught.value)


def test_a_path_in_a_file_starts_at_the_files_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    setting = BY_NAME["vault_token_file"]
    folder = Path("/project")
    assert setting.convert(".token", folder) == "/project/.token"
    assert setting.convert("~/.token", folder) == "/home/someone/.token"
    assert setting.convert("/run//token", folder) == "/run//token"
    assert setting.convert(".token") == str(Path.cwd() / ".token")
    assert setting.convert(Path("/run/token")) == "/run/token"
    assert BY_NAME["vault_path"].convert("team", folder) == "team"


def test_settings_made_by_hand_are_checked_too_and_all_problems_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(environment="pro/d", vault_url="nowhere", vault_timeout=0, vault_path="a/../b")
    assert len(caught.value.problems) == 4
    assert "4 problems in the settings:" in str(caught.value)
    assert caught.value.__context__ is None


def test_settings_made_by_hand_are_normalized_and_say_where_they_come_from() -> None:
    settings = Settings(environment="PROD", vault_url="https://host/", vault_token=TOKEN)  # type: ignore[arg-type]  # plain text is taken too
    assert settings.environment == "production"
    assert settings.vault_url == "https://host"
    assert isinstance(settings.vault_token, SecretText)
    assert settings.origins["vault_url"] == "argument"
    assert settings.origins["environment"] == "argument"
    assert settings.origins["vault_path"] == "default"


@pytest.mark.parametrize("environment", ["staging", "production", "canary", "PROD"])
def test_no_settings_can_exist_below_the_floor(environment: str) -> None:
    with pytest.raises(ConfigurationError, match="use_default_fallback can't be true"):
        Settings(environment=environment, use_default_fallback=True)
    lax = Settings(environment="development", use_default_fallback=True)
    with pytest.raises(ConfigurationError, match="use_default_fallback can't be true"):
        dataclasses.replace(lax, environment=environment)


def test_the_master_key_is_in_no_environments_folder() -> None:
    with pytest.raises(ConfigurationError, match="master_key_name lies in an environment's folder"):
        Settings(master_key_name="production/master_key")
    assert Settings(environment="staging", master_key_name="production/master_key")


LOOPBACK = ["http://127.0.0.1:8200", "http://localhost", "http://[::1]:8200", "unix:///run/v"]


@pytest.mark.parametrize("environment", ["production", "canary"])
@pytest.mark.parametrize("others", ["", "https://a,", "http://127.0.0.1,"])
def test_nothing_travels_unencrypted_in_production(environment: str, others: str) -> None:
    for host in ("host", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1"):
        with pytest.raises(ConfigurationError, match="can't be plain http to another machine"):
            Settings(environment=environment, vault_url=f"{others}http://{host}:8200")
    with pytest.raises(ConfigurationError, match="no valid host and port"):
        Settings(environment=environment, vault_url=f"{others}http://evil.example[::1]:8200")
    for url in (*LOOPBACK, "https://host"):
        assert Settings(environment=environment, vault_url=others + url)


@pytest.mark.parametrize("environment", ["development", "staging", None])
def test_plain_http_to_vault_is_allowed_outside_production(environment: str | None) -> None:
    assert Settings(environment=environment, vault_url="http://host")


@pytest.mark.parametrize("environment", ["staging", "production", "canary", None])
def test_vault_must_prove_who_it_is_outside_development(environment: str | None) -> None:
    with pytest.raises(ConfigurationError, match="vault_tls_verify can be false only in dev"):
        Settings(environment=environment, vault_tls_verify=False)
    assert not Settings(environment="development", vault_tls_verify=False).vault_tls_verify


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.vault_url = "http://elsewhere"  # type: ignore[misc]  # that it fails is the test
    with pytest.raises(TypeError):
        settings.origins["vault_url"] = "elsewhere"  # type: ignore[index]  # likewise


def test_no_view_of_settings_shows_a_secret() -> None:
    settings = load_settings(Layers(arguments={"vault_token": TOKEN}), environ={})
    views = [
        repr(settings),
        str(settings),
        f"{settings}",
        repr(dataclasses.asdict(settings)),
        repr(dataclasses.astuple(settings)),
        repr(copy.deepcopy(settings)),
        repr(settings.describe()),
        repr([getattr(settings, name) for name in BY_NAME]),
    ]
    assert not [view for view in views if "hunter2" in view]
    assert ("vault_token", "<hidden>", "argument") in settings.describe()
    assert settings.vault_token is not None
    assert settings.vault_token.reveal() == TOKEN
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="can't be pickled"):
            pickle.dumps(settings, protocol)


def test_settings_without_a_secret_survive_copying_and_pickling() -> None:
    settings = Settings(vault_url="http://host")
    for other in (copy.deepcopy(settings), pickle.loads(pickle.dumps(settings))):
        assert other == settings
        assert dict(other.origins) == dict(settings.origins)
    assert dataclasses.asdict(settings)["vault_url"] == "http://host"


def test_describe_lists_the_environment_and_every_setting() -> None:
    rows = Settings(
        environment="dev", cache_ttl=0.5, vault_timeout=1234567.0, vault_settings=True
    ).describe()
    assert rows[0] == ("environment", "development", "argument")
    assert [name for name, _, _ in rows[1:]] == list(BY_NAME)
    assert ("cache_ttl", "0.5", "argument") in rows
    assert ("vault_settings", "true", "argument") in rows
    assert ("vault_timeout", "1234567", "argument") in rows
    assert ("vault_url", "<not set>", "default") in rows


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("api-key", "SECUREML_API_KEY"),
        ("api_key", "SECUREML_API_KEY"),
        ("team/db.password", "SECUREML_TEAM_DB_PASSWORD"),
        ("vault_url", "SECUREML_VAULT_URL"),
    ],
)
def test_a_name_becomes_a_variable(name: str, variable: str) -> None:
    assert variable_of(name) == variable


def test_names_whose_variable_means_something_else_are_reserved() -> None:
    for setting in SETTINGS:
        assert is_reserved(setting.name)
        assert is_reserved(setting.name.replace("_", "-").upper())
    for name in ("env", "ENV", "environment", "settings", "settings.file", "api_key_file"):
        assert is_reserved(name)
    for name in ("api_key", "master_key", "profile", "env_key", "vault"):
        assert not is_reserved(name)
    assert "VAULT_TOKEN" in RESERVED_SECRET_NAMES


def test_a_setting_names_its_variable() -> None:
    setting = Setting(name="a_b", kind=str, optional=False, default="", doc="")
    assert setting.variable == "SECUREML_A_B"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("cache_ttl", 300.0, "300"),
        ("cache_ttl", 0.5, "0.5"),
        ("cache_size", 10, "10"),
        ("vault_path", "release-1.0", "release-1.0"),
        ("use_env_fallback", True, "true"),
        ("use_env_fallback", False, "false"),
        ("vault_token", SecretText("hunter2"), "<hidden>"),
        ("vault_token", None, "<not set>"),
    ],
)
def test_a_value_is_shown_as_it_is_written_unless_it_is_secret(
    name: str, value: object, shown: str
) -> None:
    assert BY_NAME[name].shown(value) == shown
