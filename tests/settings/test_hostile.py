"""Variables and files that steer Dynaconf: each does so to a plain one, and none to ours."""

from __future__ import annotations

import contextlib
import decimal
import importlib
import json
import math
import os
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dynaconf
import numpy as np
import pytest
from dynaconf import default_settings

from secureml.errors import ConfigurationError, IgnoredSettingWarning
from secureml.settings import SETTINGS, Layers, Settings, load_settings

Run = Callable[..., str]
Write = Callable[..., Path]

FILES = {
    "settings.toml": (
        "[default]\nmaster_key_name = 'good'\nvault_mount = '@int 5'\n"
        "[staging]\nvault_path = 'staging'\n[production]\nvault_path = 'production'\n"
    ),
    "evil.toml": "[default]\nmaster_key_name = 'evil'\n",
    "new.toml": "[default]\nvault_tls_server_name = 'evil'\n",
    "evil.yaml": "default:\n  master_key_name: evil\n",
    "evil.py": "MASTER_KEY_NAME = 'evil'\n",
    "evil_loader.py": (
        "def load(obj, env=None, silent=True, key=None, filename=None):\n"
        "    obj.set('MASTER_KEY_NAME', 'evil')\n"
    ),
    "evil.env": "SECUREML_MASTER_KEY_NAME=evil\n",
    "other/settings.toml": "[default]\nmaster_key_name = 'evil'\n",
}

VARIABLES = {
    "prefix": {"ENVVAR_PREFIX_FOR_DYNACONF": "OTHER", "OTHER_MASTER_KEY_NAME": "evil"},
    "settings_file": {"SETTINGS_FILE_FOR_DYNACONF": "evil.toml"},
    "yaml_file": {"SETTINGS_FILE_FOR_DYNACONF": "evil.yaml"},
    "settings_files": {"SETTINGS_FILES_FOR_DYNACONF": "evil.toml"},
    "envvar": {"ENVVAR_FOR_DYNACONF": "ELSEWHERE", "ELSEWHERE": "evil.toml"},
    "includes": {"INCLUDES_FOR_DYNACONF": "evil.toml"},
    "includes_python": {"INCLUDES_FOR_DYNACONF": "evil.py"},
    "include_in_prefix": {"SECUREML_DYNACONF_INCLUDE": "evil.toml"},
    "preload": {"PRELOAD_FOR_DYNACONF": "new.toml"},
    "secrets": {"SECRETS_FOR_DYNACONF": "evil.toml"},
    "loaders": {"LOADERS_FOR_DYNACONF": '["evil_loader"]'},
    "core_loaders": {"CORE_LOADERS_FOR_DYNACONF": "[]"},
    "vault": {"VAULT_ENABLED_FOR_DYNACONF": "true", "VAULT_URL_FOR_DYNACONF": "http://[::1]:9"},
    "environment": {"ENV_FOR_DYNACONF": "staging"},
    "env_switcher": {"ENV_SWITCHER_FOR_DYNACONF": "MODE", "MODE": "staging"},
    "force_env": {"FORCE_ENV_FOR_DYNACONF": "staging"},
    "default_env": {"DEFAULT_ENV_FOR_DYNACONF": "staging"},
    "environments": {"ENVIRONMENTS_FOR_DYNACONF": "false"},
    "dotenv": {"LOAD_DOTENV_FOR_DYNACONF": "true", "DOTENV_PATH_FOR_DYNACONF": "evil.env"},
    "skip_files": {"SKIP_FILES_FOR_DYNACONF": '["{folder}/settings.toml"]'},
    "root_path": {"ROOT_PATH_FOR_DYNACONF": "{folder}/other"},
    "auto_cast": {"AUTO_CAST_FOR_DYNACONF": "true"},
    "own_prefix": {"DYNACONF_MASTER_KEY_NAME": "evil"},
    "sysenv": {"SYSENV_FALLBACK_FOR_DYNACONF": "true", "VAULT_TLS_SERVER_NAME": "evil"},
    "merge": {"MERGE_ENABLED_FOR_DYNACONF": "true"},
    "yaml_loader": {"YAML_LOADER_FOR_DYNACONF": "unsafe_load"},
}

# These two act on lists and on YAML, neither of which a settings file of ours can hold.
WITHOUT_EFFECT_ON_THESE_FILES = {"merge", "yaml_loader"}


# These are beaten by the option of the same meaning, which a plain Dynaconf may well lack.
BEATEN_BY = {
    "settings_files": "settings_files",
    "env_switcher": "env",
    "root_path": "root_path",
}


@pytest.fixture
def project(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with every hostile file in its folder; what Dynaconf changes is put back."""
    for name, content in FILES.items():
        write(content, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    monkeypatch.undo()
    os.environ.pop("SECUREML_MASTER_KEY_NAME", None)  # its dotenv loader sets it
    importlib.reload(default_settings)


def plain(case: str) -> tuple[object, ...]:
    """What the project's settings are to a Dynaconf that is set up as its manual shows."""
    options: dict[str, Any] = {
        "settings_files": ["settings.toml"],
        "env": "production",
        "root_path": str(Path.cwd()),  # it would look beside the test runner's script first
    }
    options.pop(BEATEN_BY.get(case, ""), None)
    if case == "auto_cast":
        options["auto_cast"] = False
    try:
        found = dynaconf.Dynaconf(environments=True, envvar_prefix="SECUREML", **options)
        names = ("master_key_name", "vault_path", "vault_tls_server_name", "vault_mount")
        return tuple(found.get(name) for name in names)
    except AssertionError:  # how its Vault loader says that it has no token
        return ("vault",)


def ours() -> Settings:
    return load_settings(Layers(environment="production"))


@pytest.mark.parametrize("case", VARIABLES)
def test_a_variable_that_steers_dynaconf_has_no_effect(
    project: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    undisturbed, expected = plain(case), ours()
    assert (expected.master_key_name, expected.vault_path) == ("good", "production")
    for name, value in VARIABLES[case].items():
        monkeypatch.setenv(name, value.replace("{folder}", str(project)))
    before = ours()
    if case not in WITHOUT_EFFECT_ON_THESE_FILES:
        assert plain(case) != undisturbed, "this variable steers nothing, so the test is empty"
    monkeypatch.delenv("SECUREML_MASTER_KEY_NAME", raising=False)  # its dotenv loader set it
    for found in (before, ours()):
        assert found == expected
        assert dict(found.origins) == dict(expected.origins)


def test_all_variables_that_steer_dynaconf_together_have_no_effect_on_a_fresh_process(
    project: Path, run: Run
) -> None:
    hostile = {
        name: value.replace("{folder}", str(project))
        for case in VARIABLES.values()
        for name, value in case.items()
    }
    program = (
        "from secureml.settings import Layers, load_settings\n"
        "print(load_settings(Layers(environment='production')).describe())\n"
    )
    assert run(program, **hostile) == run(program) != ""


def test_a_dotenv_file_is_read_by_a_plain_dynaconf_and_not_by_ours(write: Write, run: Run) -> None:
    write("SECUREML_MASTER_KEY_NAME=evil\n", ".env")
    program = (
        "import dynaconf, secureml.settings as s\n"
        "print(s.load_settings(s.Layers()).master_key_name)\n"
        "plain = dynaconf.Dynaconf(load_dotenv=True, envvar_prefix='SECUREML', root_path='.')\n"
        "print(plain.MASTER_KEY_NAME)\n"
    )
    assert run(program).split() == ["master_key", "evil"]


@pytest.mark.parametrize("name", [".secrets.toml", "settings.yaml", "settings.json", "settings.py"])
def test_other_files_that_dynaconf_knows_are_not_read(write: Write, name: str) -> None:
    write(FILES["settings.toml"])
    expected = ours()
    contents = {
        ".toml": "[default]\nmaster_key_name = 'evil'\n",
        ".yaml": "default:\n  master_key_name: evil\n",
        ".json": '{"default": {"master_key_name": "evil"}}',
        ".py": "MASTER_KEY_NAME = 'evil'\n",
    }
    path = write(contents[Path(name).suffix], name)
    steered = dynaconf.Dynaconf(settings_files=[str(path)], environments=True)
    assert steered.MASTER_KEY_NAME == "evil"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IgnoredSettingWarning)
        assert ours() == expected


def test_hooks_run_beside_a_plain_dynaconf_and_are_refused_by_ours(write: Write) -> None:
    path = write(FILES["settings.toml"])
    write("def post(settings):\n    return {'MASTER_KEY_NAME': 'evil'}\n", "dynaconf_hooks.py")
    steered = dynaconf.Dynaconf(
        settings_files=[str(path)], environments=True, core_loaders=["TOML"]
    )
    assert steered.MASTER_KEY_NAME == "evil"
    with pytest.raises(ConfigurationError, match=r"dynaconf_hooks\.py lies beside it"):
        ours()


@pytest.mark.parametrize(
    "content",
    [
        "dynaconf_include = ['evil.toml']\n[default]\n",
        "[default]\ndynaconf_include = ['evil.toml']\n",
        "dynaconf_merge = true\n[default]\n",
        "[default]\ndynaconf_merge = true\n",
        "[default]\nSECRETS_FOR_DYNACONF = 'evil.toml'\n",
        "[default]\nLOADERS_FOR_DYNACONF = ['evil_loader']\n",
        "[default]\n'vault_path.x' = 'evil'\n",
        "[default]\nvault__path = 'evil'\n",
        "[default]\nvault_path___0 = 'evil'\n",
    ],
)
def test_keys_that_steer_dynaconf_are_unknown_keys_in_a_settings_file(
    project: Path, write: Write, content: str
) -> None:
    write(content)
    with pytest.raises(ConfigurationError, match="unknown"):
        ours()


@pytest.mark.parametrize(
    "name", ["DYNACONF_INCLUDE", "SECRETS_FOR_DYNACONF", "vault_path.x", "vault__path", "store"]
)
def test_keys_that_steer_dynaconf_are_unknown_keys_elsewhere(name: str) -> None:
    evil = {name: "evil"}
    for layers, record in (
        (Layers(files=(), arguments=evil), None),
        (Layers(files=(), host=evil), None),
        (Layers(files=()), evil),
    ):
        with pytest.raises(ConfigurationError, match="unknown"):
            load_settings(layers, environ={}, vault_record=record)


HUGE = 10**5000
VALUES: list[object] = [
    "",
    "\0",
    "\ud800",
    "\udcff/x",
    "~",
    "~/" + "x" * 10_000,
    "http://[",
    "http://[::1",
    "https://a:99999999999",
    "unix://",
    "9" * 5000,
    "1e400",
    HUGE,
    -HUGE,
    1e10,
    1e308,
    math.inf,
    math.nan,
    b"\xff",
    Path("a\0b"),
    Path("\ud800"),
    object(),
    [[[]]],
    {"a": {"b": {}}},
    {HUGE: {HUGE: HUGE}},
    {"x": {"strategy": "fpe", "keep_first": HUGE, "written": [HUGE]}},
    {"x": {"strategy": "\ud800", "format": HUGE}},
    {"x": {"columns": {HUGE: 1, "\ud800": {"strategy": "keep", "domain": "\ud800"}}}},
    np.array([True, False]),
    np.float64(1e300),
    decimal.Decimal("NaN"),
]
BUILDERS: dict[str, Callable[[dict[str, Any]], Settings]] = {
    "argument": lambda values: load_settings(
        Layers((), "production", arguments=values), environ={}
    ),
    "host": lambda values: load_settings(Layers((), "production", host=values), environ={}),
    "record": lambda values: load_settings(Layers(()), environ={}, vault_record=values),
    "variable": lambda values: load_settings(
        Layers(()),
        environ={
            f"SECUREML_{name.upper()}": str(value)
            for name, value in values.items()
            if isinstance(value, str | float)
        },
    ),
    "hand": lambda values: Settings(environment="production", **values),
}


def attempt(build: Callable[[], Settings]) -> None:
    """Build settings and list them, or fail with a clear error."""
    raised = None
    try:
        json.dumps(build().describe()).encode()
    except ConfigurationError as error:
        raised = error
    assert raised is None or raised.__context__ is None
    assert len(str(raised)) < 10_000


@pytest.mark.parametrize("layer", BUILDERS)
def test_no_value_of_any_setting_raises_anything_but_a_configuration_error(layer: str) -> None:
    build = BUILDERS[layer]
    for value in VALUES:
        attempt(partial(build, {setting.name: value for setting in SETTINGS}))
        for setting in SETTINGS:
            with contextlib.suppress(ConfigurationError):
                setting.convert(value)
                attempt(partial(build, {setting.name: value}))


@pytest.mark.parametrize(
    "name", [HUGE, 1, None, b"x", ("a",), "\ud800", "x" * 100_000], ids=range(7)
)
def test_no_name_of_any_setting_raises_anything_but_a_configuration_error(name: Any) -> None:
    for layers, record in (
        (Layers((), host={name: "x"}), None),
        (Layers((), arguments={name: "x"}), None),
        (Layers(()), {name: "x"}),
    ):
        with pytest.raises(ConfigurationError, match="unknown") as caught:
            load_settings(layers, environ={}, vault_record=record)
        assert len(str(caught.value)) < 5000


VALUES_OF_TOML = [
    '""',
    '"\\u0000"',
    '"~"',
    f'"{"x" * 100_000}"',
    '"http://["',
    "9" * 5000,
    "9" * 4000,
    "-" + "9" * 4000,
    "1e400",
    "1e10",
    "inf",
    "nan",
    "0x" + "f" * 5000,
    "2024-01-01",
    "[[[]]]",
    "{a = {b = {}}}",
    '{x = {strategy = "fpe", keep_first = ' + "9" * 4000 + "}}",
    '{x = {columns = {y = {strategy = "keep", domain = "\\u0000"}}}}',
]


@pytest.mark.parametrize("name", [*(setting.name for setting in SETTINGS), "unknown"])
def test_no_value_in_a_file_raises_anything_but_a_configuration_error(
    write: Write, name: str
) -> None:
    for value in VALUES_OF_TOML:
        path = write(f"[default]\n{name} = {value}\n")
        os.utime(path, (0, 0))  # as if it were not written just now
        attempt(partial(load_settings, Layers((path,)), environ={}))


def test_many_unknown_names_are_told_in_a_bounded_time_and_text() -> None:
    names = {f"vault_uls{number}": "x" for number in range(20_000)}
    with pytest.raises(ConfigurationError, match="and 19980 more") as caught:
        load_settings(Layers((), host=names), environ={})
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("name", ["vault_timeout", "vault_connect_timeout"])
def test_the_largest_number_of_seconds_is_one_that_clocks_and_sockets_take(name: str) -> None:
    largest = getattr(Settings(**{name: 1e9}), name)  # type: ignore[arg-type]  # names of a dict are not known
    with socket.socket() as connection:
        connection.settimeout(largest)
    assert threading.Event().wait(0) is False
    assert largest < threading.TIMEOUT_MAX
    with pytest.raises(ConfigurationError, match=f"{name} must be 1000000000 or less"):
        Settings(**{name: 1e10})  # type: ignore[arg-type]  # likewise


def test_converters_that_the_host_adds_to_dynaconf_have_no_effect(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dynaconf.utils import parse_conf

    monkeypatch.setattr(parse_conf, "converters", dict(parse_conf.converters))
    dynaconf.add_converter("shout", str.upper)
    path = write("[default]\nvault_username = '@shout a'\n")
    assert dynaconf.Dynaconf(settings_files=[str(path)]).default.vault_username == "A"
    assert ours().vault_username == "@shout a"


def test_a_malformed_option_of_dynaconfs_is_a_clear_error(
    run_python: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_PORT_FOR_DYNACONF", "abc")
    program = (
        "from secureml.errors import ConfigurationError\n"
        "from secureml.settings import Layers, load_settings\n"
        "try:\n"
        "    load_settings(Layers())\n"
        "except ConfigurationError as error:\n"
        "    print(error, error.__context__)\n"
    )
    printed = run_python("-c", program).stdout
    assert "_FOR_DYNACONF is malformed (SML-100) None" in printed
