from __future__ import annotations

import pytest

from secureml.settings import SETTINGS, Layers, load_settings
from secureml.settings.variables import is_own, misspelt, nested, set_variables


def test_variables_are_read_by_their_exact_names_and_raw() -> None:
    environ = {
        "SECUREML_VAULT_URL": "@format {env[HOME]}",
        "SECUREML_CACHE_TTL": "12e45678",
        "SECUREML_VAULT_PATH": "",
        "SECUREML_vault_mount": "kv",
        "DYNACONF_VAULT_TOKEN": "evil",
    }
    assert set_variables(environ) == [
        {},
        {},
        {"vault_url": "SECUREML_VAULT_URL", "cache_ttl": "SECUREML_CACHE_TTL"},
    ]


@pytest.mark.parametrize(
    ("suffix", "own"),
    [
        ("ADDR", "vault_url"),
        ("TOKEN", "vault_token"),
        ("NAMESPACE", "vault_namespace"),
        ("CACERT", "vault_ca_cert"),
    ],
)
def test_vaults_own_variables_come_first_and_so_are_the_weakest(suffix: str, own: str) -> None:
    environ = {
        f"SECUREML_{own.upper()}": "@none",
        f"BAO_{suffix}": "12e45678",
        f"VAULT_{suffix}": "0x10",
        "VAULT_SKIP_VERIFY": "1",
        "VAULT_AGENT_ADDR": "x",
    }
    assert set_variables(environ) == [
        {own: f"VAULT_{suffix}"},
        {own: f"BAO_{suffix}"},
        {own: f"SECUREML_{own.upper()}"},
    ]


@pytest.mark.parametrize("tool", ["VAULT", "BAO"])
def test_a_file_for_the_token_is_not_beaten_by_a_weaker_variables_token(tool: str) -> None:
    environ = {f"{tool}_TOKEN": "other", "SECUREML_VAULT_TOKEN_FILE": "/token"}
    found = load_settings(Layers(files=()), environ=environ)
    assert (found.vault_token, found.vault_token_file) == (None, "/token")


@pytest.mark.parametrize(
    ("found", "meant"),
    [
        ("SECUREML_VAULT_ADDR", "SECUREML_VAULT_URL"),
        ("SECUREML_ENVIRONMENT", "SECUREML_ENV"),
        ("SECUREML_ENVIROMENT", "SECUREML_ENV"),
        ("SECUREML_SETTINGS", "SECUREML_SETTINGS_FILE"),
        ("SECUREML_VAULT_ULR", "SECUREML_VAULT_URL"),
        ("SECUREML_VAULT_TOKN", "SECUREML_VAULT_TOKEN"),
        ("SECUREML_VAULT_TOKENFILE", "SECUREML_VAULT_TOKEN_FILE"),
        ("SECUREML_vault_url", "SECUREML_VAULT_URL"),
        ("SECUREML_USE_ENV_FALBACK", "SECUREML_USE_ENV_FALLBACK"),
        ("SECUREML_MASTER_KEY_NAMES", "SECUREML_MASTER_KEY_NAME"),
        ("SECUREML_SETTINGS_FIEL", "SECUREML_SETTINGS_FILE"),
    ],
)
def test_a_misspelt_variable_is_found(found: str, meant: str) -> None:
    assert list(misspelt({found: "x", "PATH": "x"})) == [(found, meant)]


@pytest.mark.parametrize(
    "secret",
    [
        "SECUREML_MASTER_KEY",
        "SECUREML_MASTER_KEY_2",
        "SECUREML_MASTER_KEY_FILE",
        "SECUREML_API_KEY",
        "SECUREML_CACHE_KEY",
        "SECUREML_USER_PASSWORD",
        "SECUREML_ENV_KEY",
        "OTHER_VAULT_ULR",
    ],
)
def test_a_secrets_variable_is_not_taken_for_a_misspelt_one(secret: str) -> None:
    assert not list(misspelt({secret: "x"}))


def test_the_declared_variables_are_not_misspelt() -> None:
    known = {setting.variable: "x" for setting in SETTINGS}
    assert not list(misspelt({**known, "SECUREML_ENV": "x", "SECUREML_SETTINGS_FILE": "x"}))


def test_an_entry_of_a_table_is_no_variable_and_a_secret_with_two_underscores_is() -> None:
    entries = ["SECUREML_COLUMNS__SSN__STRATEGY", "SECUREML_PRODUCTION__VAULT_URL"]
    assert list(nested(dict.fromkeys([*entries, "SECUREML_MY__KEY", "COLUMNS__A"], "x"))) == entries


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("SECUREML_API_KEY", True),
        ("_SECUREML_COMPLETE", True),
        ("VAULT_ADDR", True),
        ("BAO_TOKEN", True),
        ("MY_SECUREML_KEY", False),
        ("VAULTED", False),
        ("PATH", False),
    ],
)
def test_a_variable_is_known_by_its_prefix(name: str, own: bool) -> None:
    assert is_own(name) is own
