"""The loader for other people's Dynaconf objects, against the real server."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dynaconf
import pytest

from helpers.vault import Vault
from secureml import configure
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    SecretDeletedError,
    SecureMLError,
    VaultUnavailableError,
)

pytestmark = pytest.mark.usefixtures("in_empty_folder")

Build = Callable[..., Any]


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def reached(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """A server that secureml reaches by environment variables."""
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    if vault.namespace:
        monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace)
    return vault


def write(vault: Any, environment: str, name: str = "dynaconf", /, **fields: object) -> None:
    path = "/".join(filter(None, ("secureml", environment, name)))
    vault.client().secrets.kv.v2.create_or_update_secret(path, fields)


def build(*files: str, **options: Any) -> Any:
    """A host's object with the loader, and a prefix that no variable has."""
    loaders = ["dynaconf.loaders.env_loader", "secureml.dynaconf"]
    return dynaconf.Dynaconf(
        **{"settings_files": list(files), "envvar_prefix": "HOST", "loaders": loaders, **options}
    )


def test_the_record_of_the_selected_environment_and_of_no_other_is_loaded(reached: Vault) -> None:
    write(reached, "development", db_password="dev", only_dev=1)
    write(reached, "production", db_password="prod")
    host = build(environments=True, env="development")
    assert (host.db_password, host.ONLY_DEV) == ("dev", 1)
    with host.using_env("production"):
        assert host.db_password == "prod"
        assert "only_dev" not in host
    assert host.from_env("production").db_password == "prod"
    assert host.db_password == "dev"


def test_without_environments_the_one_that_secureml_has_selected_decides(
    reached: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(reached, "", password="of none")
    write(reached, "staging", password="of staging")
    assert build().password == "of none"
    monkeypatch.setenv("SECUREML_ENV", "stage")
    assert build().password == "of staging"


def test_the_loader_can_be_named_in_a_variable(
    reached: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(reached, "", password="x")
    monkeypatch.setenv(
        "LOADERS_FOR_DYNACONF", '["dynaconf.loaders.env_loader", "secureml.dynaconf"]'
    )
    assert dynaconf.Dynaconf(envvar_prefix="HOST").password == "x"


TEXTS = [
    "@int 5",
    "@jinja {{ env.HOME }}",
    "@format {env[HOME]}",
    '@json {"a": 1}',
    "@read_file /etc/hostname",
    "@del",
    "@none",
    "@merge a",
    "12e45678",
    "0xdeadbeef",
    "1234#tail",
    "'quoted'",
    "true",
    "[1, 2]",
    "",
]


def test_texts_are_never_evaluated_at_whatever_depth(reached: Vault) -> None:
    whole = {f"t{number}": text for number, text in enumerate(TEXTS)}
    write(
        reached,
        "",
        **whole,
        nested={"deep": {"text": "@int 5"}, "list": ["@int 5", {"a": "@int 5"}]},
    )
    host = build()
    assert [host[f"t{number}"] for number in range(len(TEXTS))] == TEXTS
    assert host.nested.deep.text == host["NESTED.deep.text"] == "@int 5"
    assert host.nested.list[0] == host.nested.list[1].a == "@int 5"
    assert host.get("t0", cast=None) == "@int 5"
    host.reload()
    assert host.T0 == "@int 5"
    assert host.dynaconf.clone().T0 == "@int 5"


def test_values_keep_the_types_that_json_gives_them(reached: Vault) -> None:
    values = {"number": 5, "share": 0.5, "yes": True, "nothing": None, "table": {"a": [1, "b"]}}
    write(reached, "", **values)
    host = build()
    assert {name: host[name] for name in values} == values


def test_the_record_replaces_values_of_files_and_variables(
    reached: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.toml").write_text("a = 'file'\nb = 'file'\nc = 'file'\n[db]\nuser = 'file'\n")
    monkeypatch.setenv("HOST_A", "variable")
    monkeypatch.setenv("HOST_B", "variable")
    write(reached, "", a="vault", db={"password": "vault"})
    host = build("app.toml", merge_enabled=True)
    assert (host.a, host.b, host.c) == ("vault", "variable", "file")
    assert dict(host.db) == {"password": "vault"}
    weaker = build("app.toml", loaders=["secureml.dynaconf", "dynaconf.loaders.env_loader"])
    assert weaker.a == "variable"


def test_a_single_setting_can_be_loaded_anew(reached: Vault) -> None:
    write(reached, "", a="1", b="1")
    host = build()
    assert host.a == "1"
    write(reached, "", a="2", b="2")
    assert (host.get_fresh("a"), host.b) == ("2", "1")


def test_the_history_names_the_record_and_shows_no_value(reached: Vault) -> None:
    write(reached, "production", password="hunter2", db={"password": "hunter2"})
    host = build(environments=True, env="production")
    report = io.StringIO()
    history = dynaconf.get_history(host, "password")
    print(dynaconf.get_history(host), history, file=report)
    assert "hunter2" not in report.getvalue()
    assert history[-1]["identifier"] == "secret/secureml/production/dynaconf"
    assert history[-1]["env"] == "production"


def test_an_absent_record_sets_nothing(reached: Vault, tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text("a = 'file'\n")
    assert build("app.toml").a == "file"


def test_another_record_can_be_named(reached: Vault) -> None:
    write(reached, "", "billing", a="billing")
    assert build(secureml_record="billing").a == "billing"
    with pytest.raises(ConfigurationError, match="SECUREML_RECORD"):
        _ = build(secureml_record="../production/dynaconf").a


def test_the_section_of_the_same_object_may_say_how_vault_is_reached(
    vault: Any, tmp_path: Path
) -> None:
    namespace = f"vault_namespace = '{vault.namespace}'" if vault.namespace else ""
    (tmp_path / "app.toml").write_text(
        f"[default.secureml]\nvault_url = '{vault.url}'\n{namespace}\n"
        "[staging.secureml]\nvault_path = 'elsewhere'\ndynaconf_merge = true\n"
    )
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text(vault.token)
    token = {"vault_token_file": str(tmp_path / "token")}
    configure(**token)
    vault.client().secrets.kv.v2.create_or_update_secret("elsewhere/staging/dynaconf", {"a": "b"})
    host = build("app.toml", environments=True, env="staging")
    assert host.a == "b"
    assert configure(host=host.secureml, environment="staging", **token).vault_path == "elsewhere"
    host.reload()
    assert host.a == "b"


def test_any_login_will_do(reached: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(reached, "", a="b")
    client = reached.client()
    client.sys.create_or_update_policy(
        "reader", 'path "secret/data/secureml/dynaconf" { capabilities = ["read"] }'
    )
    client.sys.enable_auth_method("approle")
    client.auth.approle.create_or_update_approle("host", token_policies=["reader"])
    role_id = client.auth.approle.read_role_id("host")["data"]["role_id"]
    secret_id = client.auth.approle.generate_secret_id("host")["data"]["secret_id"]
    monkeypatch.delenv("SECUREML_VAULT_TOKEN")
    monkeypatch.setenv("SECUREML_VAULT_AUTH", "approle")
    monkeypatch.setenv("SECUREML_VAULT_ROLE_ID", role_id)
    monkeypatch.setenv("SECUREML_VAULT_SECRET_ID", secret_id)
    host = build()
    assert host.a == "b"
    host.reload()
    assert host.a == "b"


# Failures: each is raised, although Dynaconf is silent by default.


def test_a_denied_record_is_an_error(reached: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    write(reached, "", a="secret")
    token = reached.policy_token('path "auth/token/lookup-self" { capabilities = ["read"] }')
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", token)
    with pytest.raises(AccessDeniedError, match="secureml/dynaconf"):
        _ = build().a


def test_a_bad_token_is_an_error_without_the_token(
    reached: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "s.hunter2hunter2")
    with pytest.raises((AuthenticationError, AccessDeniedError)) as caught:
        _ = build().a
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_an_outage_is_an_error_and_not_an_absent_record(
    reached: Vault, faulty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECUREML_VAULT_URL", faulty(silent=True).url)
    monkeypatch.setenv("SECUREML_VAULT_TIMEOUT", "0.2")
    with pytest.raises(VaultUnavailableError):
        _ = build().a


def test_a_failed_reload_leaves_no_old_values(
    reached: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(reached, "", a="secret")
    host = build()
    assert host.a == "secret"
    reached.client().secrets.kv.v2.delete_latest_version_of_secret("secureml/dynaconf")
    with pytest.raises(SecretDeletedError):
        host.reload()
    assert "a" not in host


def test_without_a_vault_the_loader_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="vault_url is not set"):
        _ = build().a


def test_an_environment_that_secureml_does_not_know_is_an_error(reached: Vault) -> None:
    with pytest.raises(ConfigurationError, match="no environment 'PRODUCTIN'"):
        _ = build(environments=True, env="productin").a


@pytest.mark.parametrize(
    "name",
    [
        "dynaconf_include",
        "DYNACONF_MERGE",
        "loaders_for_dynaconf",
        "settings_module",
        "secureml",
        "SecureML_record",
        "db__password",
        "a b",
        "a.b",
        "",
    ],
)
def test_a_field_that_would_steer_dynaconf_or_secureml_is_refused(
    reached: Vault, name: str
) -> None:
    write(reached, "", **{name: "hunter2", "a": "hunter2"})
    with pytest.raises(ConfigurationError, match="secureml/dynaconf: a field has a name") as caught:
        _ = build().a
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_two_spellings_of_one_field_are_refused(reached: Vault) -> None:
    write(reached, "", a="1", A="2")
    with pytest.raises(ConfigurationError, match="two spellings"):
        _ = build().a


def test_no_local_of_a_failure_shows_a_value(reached: Vault) -> None:
    write(reached, "", a="hunter2", **{"a b": "hunter2"})
    with pytest.raises(SecureMLError) as caught:
        _ = build().a
    step = caught.value.__traceback__
    while step is not None:
        if "secureml" in step.tb_frame.f_code.co_filename:
            assert "hunter2" not in repr(step.tb_frame.f_locals)
        step = step.tb_next
