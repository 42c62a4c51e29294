"""Every cell of the policy table, each against a server that really is in that state."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest

from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    DevelopmentKeyWarning,
    FallbackWarning,
    KeyDisabledError,
    MalformedAnswerError,
    SecretDeletedError,
    SecretNotFoundError,
    SecureMLWarning,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager
from secureml.key_management.resolver import POLICY
from secureml.settings import Settings
from secureml.stores import DevelopmentSource, Finding
from secureml.vault.devserver.server import DevServer

IN_VAULT = "aa" * 32
IN_VARIABLE = "bb" * 32
ENVIRONMENTS = ["development", "staging", "production", None, "qa"]
USES_VARIABLES_UNASKED = {"development", "staging", None}
MAY_USE_DEFAULTS = {"development", None}

SOFT = {
    "not configured": SecretNotFoundError,
    "absent": SecretNotFoundError,
    "stopped": VaultUnavailableError,
    "silent": VaultUnavailableError,
    "sealed": VaultSealedError,
    "failing": VaultUnavailableError,
    "rate limited": VaultUnavailableError,
}
HARD = {
    "deleted": SecretDeletedError,
    "destroyed": SecretDeletedError,
    "disabled": KeyDisabledError,
    "denied": AccessDeniedError,
    "bad token": AuthenticationError,
    "expired token": AuthenticationError,
    "no token": AuthenticationError,
    "untrusted certificate": AuthenticationError,
    "malformed answer": MalformedAnswerError,
    "mount that is not there": ConfigurationError,
    "mount of version 1": ConfigurationError,
    "mount of version 1 with a secret": ConfigurationError,
    "mount of another engine": ConfigurationError,
    "folder for a mount": ConfigurationError,
}
UNAVAILABLE = [name for name, error in SOFT.items() if error is not SecretNotFoundError]

Arguments = dict[str, Any]


def path_in(environment: str | None, name: str = "master_key") -> str:
    return "/".join(filter(None, ("secureml", environment, name)))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DevServer]]:
    """Servers that are stopped, sealed and short of requests, each with a key in every path."""
    servers = {name: DevServer(tmp_path_factory.mktemp("s")) for name in ("stopped", "sealed", "l")}
    urls = {}
    for name, server in servers.items():
        server.start()
        urls[name] = server.url
        client = hvac.Client(server.url, token=server.root_token.reveal())
        for environment in ENVIRONMENTS:
            client.secrets.kv.v2.create_or_update_secret(path_in(environment), {"value": IN_VAULT})
        if name == "l":
            limit = {"rate": 1, "interval": "1h", "path": "secret/"}
            client.adapter.post("/v1/sys/quotas/rate-limit/few", json=limit)
        client.adapter.close()
    servers["sealed"].seal()
    servers["stopped"].kill()
    yield {"urls": urls, **servers}
    for server in servers.values():
        server.kill()


@pytest.fixture
def situation(request: pytest.FixtureRequest) -> Callable[[str, str | None], Arguments]:
    """Bring a Vault into a state; return the arguments that lead a KeyManager to it."""

    def at(server: str) -> Arguments:
        servers = request.getfixturevalue("shared")
        token = servers[server].root_token if server != "stopped" else "s.token"
        # A sealed server is asked twice, and never waited for.
        arguments = {"vault_url": servers["urls"][server], "vault_token": token}
        return arguments | {"vault_timeout": 5 if server == "sealed" else 0.3}

    def faulty(**fault: Any) -> Arguments:
        url = request.getfixturevalue("faulty")(**fault).url
        return {"vault_url": url, "vault_token": "s.token", "vault_timeout": 0.2}

    def in_vault(token: str | None = None) -> Arguments:
        vault = request.getfixturevalue("vault")
        return {
            "vault_url": vault.url,
            "vault_namespace": vault.namespace,
            "vault_token": token or vault.token,
        }

    def write(environment: str | None) -> Any:
        kv = request.getfixturevalue("vault").client().secrets.kv.v2
        kv.create_or_update_secret(path_in(environment), {"value": IN_VAULT})
        return kv

    def make(name: str, environment: str | None) -> Arguments:
        vault = request.getfixturevalue("vault") if name in NEEDS_VAULT else None
        match name:
            case "not configured":
                return {}
            case "absent":
                return in_vault()
            case "stopped" | "sealed":
                return at(name)
            case "silent":
                return faulty(silent=True)
            case "failing":
                return faulty(body=b'{"errors": ["x"]}', status="502 Bad Gateway")
            case "rate limited":
                arguments = at("l")
                client = hvac.Client(
                    arguments["vault_url"], token=arguments["vault_token"].reveal()
                )
                for _ in range(2):  # uses up what is left of the hour's single request
                    client.adapter.get("/v1/secret/data/x", raise_exception=False)
                client.adapter.close()
                return arguments
            case "malformed answer":
                return faulty(body=b"<html></html>", kind="text/html")
            case "untrusted certificate":
                server = request.getfixturevalue("bao_tls").server
                return {"vault_url": server.url, "vault_token": server.root_token}
            case "present":
                write(environment)
                return in_vault()
            case "deleted":
                write(environment).delete_latest_version_of_secret(path_in(environment))
                return in_vault()
            case "destroyed":
                write(environment).destroy_secret_versions(path_in(environment), [1])
                return in_vault()
            case "disabled":
                write(environment)
                with KeyManager(environment=environment, **in_vault()) as manager:
                    manager.disable_key_version("master_key", 1)
                return in_vault()
            case "denied":
                write(environment)
                other = 'path "secret/data/other" { capabilities = ["read"] }'
                return in_vault(vault.policy_token(other, no_default_policy=False))
            case "bad token":
                return in_vault("s.wrong")
            case "expired token":
                token = vault.policy_token('path "secret/*" { capabilities = ["read"] }')
                vault.client().auth.token.revoke(token)
                return in_vault(token)
            case "mount that is not there":
                return in_vault() | {"vault_mount": "nothing"}
            case "mount of version 1" | "mount of version 1 with a secret":
                vault.client().sys.enable_secrets_engine("kv", "old", options={"version": "1"})
                if name.endswith("secret"):
                    vault.client().write_data(
                        f"old/data/{path_in(environment)}", data={"value": IN_VAULT}
                    )
                return in_vault() | {"vault_mount": "old"}
            case "mount of another engine":
                vault.client().sys.enable_secrets_engine("transit")
                return in_vault() | {"vault_mount": "transit"}
            case "folder for a mount":
                return in_vault() | {"vault_mount": "secret/data"}
            case "no token":
                arguments = in_vault()
                del arguments["vault_token"]
                return arguments
        raise AssertionError(name)

    return make


NEEDS_VAULT = {"present", "absent", "deleted", "destroyed", "disabled", "denied", "bad token"}
NEEDS_VAULT |= {"expired token", "no token", "folder for a mount"}
NEEDS_VAULT |= {name for name in HARD if name.startswith("mount")}


@pytest.fixture(autouse=True)
def declares_an_environment(clean_environment: None) -> None:
    Path("settings.toml").write_text("[default]\n[qa]\n")


def key_of(arguments: Arguments, environment: str | None, **more: Any) -> tuple[str, list[type]]:
    """Read the master key; return it and the categories of the warnings that were given."""
    with (
        KeyManager(environment=environment, **arguments, **more) as manager,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always", SecureMLWarning)
        key = manager.get_encryption_key(encoding="hex")
    return key, [warning.category for warning in caught]


def cells(situations: Any, environments: Any = ENVIRONMENTS) -> Any:
    return pytest.mark.parametrize(
        ("name", "environment"), list(itertools.product(situations, environments))
    )


def test_the_table_has_a_row_for_every_finding_and_a_column_for_every_environment():
    assert set(POLICY) == set(Finding)
    for finding in (Finding.NOT_CONFIGURED, Finding.ABSENT, Finding.UNAVAILABLE):
        assert len(POLICY[finding]) == len(ENVIRONMENTS)


@cells(["present"])
def test_vaults_value_wins(situation, monkeypatch, name, environment):
    monkeypatch.setenv("SECUREML_MASTER_KEY", IN_VARIABLE)
    arguments = situation(name, environment)
    assert key_of(arguments, environment, use_env_fallback=True) == (IN_VAULT, [])


@cells(SOFT)
def test_a_variable_stands_in_as_packaged(situation, monkeypatch, name, environment):
    monkeypatch.setenv("SECUREML_MASTER_KEY", IN_VARIABLE)
    arguments = situation(name, environment)
    if environment not in USES_VARIABLES_UNASKED:
        with pytest.raises(SOFT[name]):
            key_of(arguments, environment)
        return
    warned = [FallbackWarning] if name in UNAVAILABLE else []
    assert key_of(arguments, environment) == (IN_VARIABLE, warned)


@cells(SOFT)
def test_a_variable_stands_in_if_it_is_switched_on(situation, monkeypatch, name, environment):
    monkeypatch.setenv("SECUREML_MASTER_KEY", IN_VARIABLE)
    arguments = situation(name, environment)
    warned = [FallbackWarning] if name in UNAVAILABLE else []
    assert key_of(arguments, environment, use_env_fallback=True) == (IN_VARIABLE, warned)


@cells(SOFT)
def test_a_variable_does_not_stand_in_if_it_is_switched_off(
    situation, monkeypatch, name, environment
):
    monkeypatch.setenv("SECUREML_MASTER_KEY", IN_VARIABLE)
    arguments = situation(name, environment)
    with pytest.raises(SOFT[name]):
        key_of(arguments, environment, use_env_fallback=False)


@cells(SOFT)
def test_vaults_own_error_is_raised_if_nothing_stands_in(situation, name, environment):
    arguments = situation(name, environment)
    with pytest.raises(SOFT[name]):
        key_of(arguments, environment, use_env_fallback=True)


@cells(SOFT, sorted(MAY_USE_DEFAULTS, key=str))
def test_the_development_default_comes_last_and_warns(situation, name, environment):
    arguments = situation(name, environment)
    default = DevelopmentSource().read("master_key").record.fields["value"]
    warned = [FallbackWarning] if name in UNAVAILABLE else []
    for _ in range(2):
        assert key_of(arguments, environment, use_default_fallback=True) == (
            default,
            [*warned, DevelopmentKeyWarning],
        )


@cells(SOFT, sorted(MAY_USE_DEFAULTS, key=str))
def test_a_variable_comes_before_the_development_default(situation, monkeypatch, name, environment):
    monkeypatch.setenv("SECUREML_MASTER_KEY", IN_VARIABLE)
    arguments = situation(name, environment)
    warned = [FallbackWarning] if name in UNAVAILABLE else []
    found = key_of(arguments, environment, use_default_fallback=True)
    assert found == (IN_VARIABLE, warned)


@pytest.mark.parametrize("environment", ["staging", "production", "qa"])
def test_the_development_default_can_not_be_had_elsewhere(environment):
    with pytest.raises(ConfigurationError, match="use_default_fallback"):
        KeyManager(environment=environment, use_default_fallback=True)


@pytest.mark.parametrize("environment", ["staging", "production", "qa"])
def test_the_table_has_no_development_default_for_other_environments(environment):
    for finding in (Finding.NOT_CONFIGURED, Finding.ABSENT, Finding.UNAVAILABLE):
        column = environment if environment != "qa" else "declared by the user"
        assert POLICY[finding][column] == ("environment variable",)


@cells(HARD)
def test_a_finding_that_is_no_absence_is_an_error_in_every_environment(
    situation, monkeypatch, name, environment
):
    monkeypatch.setenv("SECUREML_MASTER_KEY", IN_VARIABLE)
    arguments = situation(name, environment)
    if environment in MAY_USE_DEFAULTS:
        arguments["use_default_fallback"] = True
    with pytest.raises(HARD[name]) as caught:
        key_of(arguments, environment, use_env_fallback=True)
    assert caught.value.__context__ is None
    assert IN_VARIABLE not in str(caught.value)
    assert IN_VAULT not in str(caught.value)


@pytest.mark.parametrize("name", [*UNAVAILABLE, *HARD])
def test_a_default_value_is_given_for_absence_alone(situation, name):
    with (
        KeyManager(environment="production", **situation(name, "production")) as manager,
        pytest.raises({**SOFT, **HARD}[name]),
    ):
        manager.get_secret("master_key", default="other")


@pytest.mark.parametrize("name", ["not configured", "absent"])
def test_a_default_value_is_given_for_absence(situation, name):
    with KeyManager(environment="production", **situation(name, "production")) as manager:
        assert manager.get_secret("master_key", default="other") == "other"
        assert manager.get_secret("master_key") is None


def test_absence_says_where_it_looked_in_order(situation):
    arguments = situation("absent", "staging")
    with (
        KeyManager(environment="staging", **arguments) as manager,
        pytest.raises(SecretNotFoundError) as caught,
    ):
        manager.get_encryption_key()
    vault, variable = caught.value.looked_in
    assert vault == "Vault secret/secureml/staging/master_key"
    assert "SECUREML_MASTER_KEY" in variable


def test_only_vault_answers_for_a_version(situation, monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY", IN_VARIABLE)
    for name, error in SOFT.items():
        with (
            KeyManager(environment="staging", **situation(name, "staging")) as manager,
            pytest.raises(error),
        ):
            manager.get_encryption_key(version=1)


def test_a_variable_that_can_not_be_used_is_no_absence(monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY_FILE", "/nowhere/at/all")
    with (
        KeyManager(environment="development", use_default_fallback=True) as manager,
        pytest.raises(ConfigurationError, match="SECUREML_MASTER_KEY_FILE"),
    ):
        manager.get_encryption_key()


def test_a_manager_made_while_vault_is_down_works_once_it_is_up(private_bao):
    token = private_bao.root_token
    url = private_bao.url
    private_bao.stop()
    with KeyManager(vault_url=url, vault_token=token, environment="production") as manager:
        with pytest.raises(VaultUnavailableError):
            manager.get_encryption_key()
        private_bao.start()
        manager.generate_key("master_key")
        assert len(manager.get_encryption_key()) == 32


def test_warnings_point_at_the_callers_line():
    manager = KeyManager(environment="development", use_default_fallback=True)
    with pytest.warns(DevelopmentKeyWarning) as caught:
        manager.get_encryption_key()
    assert caught[0].filename == __file__


@pytest.mark.parametrize("environment", ["production", "production-eu"])
def test_no_variable_stands_in_for_a_key_if_finished_settings_are_strict(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECUREML_K", "ab" * 32)
    manager = KeyManager(settings=Settings(environment=environment))
    with pytest.raises(SecretNotFoundError):
        manager.get_key("k")
