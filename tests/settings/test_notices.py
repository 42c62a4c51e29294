from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from secureml.errors import (
    ConfigurationError,
    ExposedSecretWarning,
    IgnoredSettingWarning,
    SecureMLWarning,
)
from secureml.key_management import KeyManager
from secureml.settings import Layers, Settings, load_settings

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(environment: str | None = None, **environ: str) -> Settings:
    return load_settings(Layers(environment=environment), environ=environ)


def told(environment: str | None = None, **environ: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SecureMLWarning)
        load(environment, **environ)
    return [str(each.message) for each in caught]


@pytest.mark.parametrize("main", [True, False])
@pytest.mark.parametrize(
    "name", [".secrets.toml", "settings.yaml", "settings.yml", "settings.json", "config.toml"]
)
def test_a_file_that_names_settings_and_is_not_read_is_warned_of(
    write: Write, name: str, *, main: bool
) -> None:
    if main:
        write("[default]\n")
    write("default: {vault_url: 'http://127.0.0.1:8200', vault_token: hunter2}", name)
    with pytest.warns(IgnoredSettingWarning, match=f"{name} is not read") as caught:
        load()
    assert "hunter2" not in str(caught[0].message)


def test_a_file_of_another_program_or_that_is_read_is_not_warned_of(write: Write) -> None:
    write("[default]\n")
    write("debug: true", "settings.yaml")
    path = write("[default]\nvault_path = 'a'\n", "config.toml")
    os.mkfifo(path.with_name("settings.json"))
    assert told() == [f"{path} is not read; settings belong in settings.toml"]
    assert not told(SECUREML_SETTINGS_FILE=str(path))


def test_a_variable_for_an_entry_of_a_table_is_warned_of_without_its_value() -> None:
    assert told(SECUREML_COLUMNS__SSN__STRATEGY="hunter2") == [
        "SECUREML_COLUMNS__SSN__STRATEGY sets no setting; write a table in a settings file"
    ]


def test_the_first_use_of_a_manager_warns_as_settings_show_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECUREML_ENVIROMENT", "production")
    with pytest.warns(IgnoredSettingWarning, match="did you mean SECUREML_ENV?"):
        KeyManager()


@pytest.mark.parametrize("environment", ["production", "production-eu"])
@pytest.mark.parametrize("section", ["default", ""])
def test_a_secret_in_a_settings_file_is_warned_of_in_a_strict_environment(
    write: Write, environment: str, section: str
) -> None:
    values = "vault_token = 'hunter2'\nvault_password = 'hunter2'\n"
    write(f"[{environment}]\n" + (f"[{section}]\n" if section else "") + values)
    messages = told(environment)
    assert [message.split(": ")[-1].split()[0] for message in messages] == [
        "vault_token",
        "vault_password",
    ]
    assert "hunter2" not in "".join(messages)
    assert not told("development")


@pytest.mark.parametrize("setting", ["vault_token_file", "vault_password_file"])
def test_a_file_of_a_secret_that_every_user_may_read_is_warned_of(
    write: Write, setting: str
) -> None:
    path = write("hunter2", "secret")
    path.chmod(0o644)
    variable = {f"SECUREML_{setting.upper()}": str(path)}
    with pytest.warns(ExposedSecretWarning, match=f"{setting}: every user"):
        load(**variable)
    path.chmod(0o600)
    assert not told(**variable)
    path.unlink()
    assert not told(**variable)


def test_a_folder_in_the_place_of_a_secrets_file_is_not_warned_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert not told(SECUREML_VAULT_TOKEN_FILE=str(tmp_path))


def test_a_format_that_does_not_exist_is_an_error_when_the_rules_are_read(write: Write) -> None:
    write("[default.columns]\nssn = { strategy = 'fpe', format = 'snn' }\n")
    with pytest.raises(ConfigurationError, match="did you mean 'ssn'"):
        load()
    write("[default.columns]\nid = { strategy = 'fpe', format = 'alphabet:0123ABCD' }\n")
    assert load().columns["id"].format == "alphabet:0123ABCD"
