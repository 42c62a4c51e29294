"""``secureml vault status`` on servers that are up, sealed, down, and on tokens of every kind."""

from __future__ import annotations

import json
import re

import pytest

from secureml.key_management import KeyManager
from secureml.settings import Settings
from secureml.vault.bootstrap import Bootstrap
from secureml.vault.policies import Layout
from secureml.vault.session import VaultSession

LAYOUT = Layout(mount="secret", path="secureml", environments=("staging", "production"))


@pytest.fixture
def here(vault, monkeypatch):
    """The variables that lead to the test's own namespace, which is set up as in production."""
    settings = Settings(
        vault_url=vault.url, vault_token=vault.token, vault_namespace=vault.namespace
    )
    session = VaultSession(settings)
    work = Bootstrap(session, LAYOUT)
    for change in work.plan().changes:
        work.apply(change)
    session.close()
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    return vault


@pytest.fixture
def use(here, monkeypatch):
    """Use a token with some policies for what follows."""

    def use(*policies: str) -> str:
        answer = here.client().auth.token.create(
            policies=list(policies), no_parent=True, no_default_policy=True, ttl="2h"
        )
        token: str = answer["auth"]["client_token"]
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", token)
        return token

    return use


def test_an_application_sees_what_it_may_do(run, use, here):
    for environment in ("staging", "production"):
        with KeyManager(environment=environment) as manager:
            manager.generate_key("master_key")
            manager.generate_key("another")
        here.client().write_data(
            f"secret/data/secureml/{environment}/settings", data={"data": {"cache_ttl": 1}}
        )
    token = use("secureml-staging-read")
    ran = run("vault", "status", "--env", "staging", "--json")
    assert ran.code == 0, ran.err
    assert token not in ran.out
    found = json.loads(ran.out)
    (node,) = found["addresses"]
    assert (node["address"], node["state"], node["error"]) == (here.url, "active", None)
    assert node["version"].count(".") == 2
    assert found["leader"] == here.url
    assert found["namespace"] == here.namespace
    assert found["login"].pop("ttl") in range(7000, 7201)
    assert found["login"] == {
        "method": "token",
        "renewable": True,
        "policies": ["secureml-staging-read"],
        "error": None,
    }
    assert found["keys"] == [
        {
            "name": name,
            "path": f"secret/secureml/staging/{name}",
            "state": "present",
            "permissions": ["read", "history"],
            "deletion_time": None,
        }
        for name in ("master_key", "another")
    ]
    assert found["error"] is None


def test_a_key_administrator_may_do_everything(run, use, here):
    with KeyManager(environment="production") as manager:
        manager.generate_key("master_key")
    use("secureml-keys-admin", "secureml-production-read")
    ran = run("vault", "status", "--env", "production")
    assert ran.code == 0, ran.err
    lines = dict(line.split(":", 1) for line in ran.out.splitlines())
    assert lines["key"].split(maxsplit=1) == [
        "secret/secureml/production/master_key",
        "read, history, write, destroy",
    ]
    assert lines["policies"].strip() == "secureml-keys-admin, secureml-production-read"
    assert re.fullmatch(
        r"token, valid for (1:59:..|2:00:00) more, renewable", lines["login"].strip()
    )


def allow(here, policy, capabilities):
    """Make a policy that allows this, and what a token is to find out about itself."""
    itself = {"auth/token/lookup-self": "read", "sys/capabilities-self": "update"}
    here.client().sys.create_or_update_policy(
        policy,
        "".join(
            f'path "{path}" {{ capabilities = ["{capability}"] }}\n'
            for path, capability in {**itself, **capabilities}.items()
        ),
    )


@pytest.mark.parametrize("policy", ["secureml-keys-admin", "reads", "lists"])
def test_a_key_that_is_absent_is_told_apart(run, use, here, policy):
    allow(here, "reads", {"secret/data/secureml/production/*": "read"})
    allow(here, "lists", {"secret/metadata/secureml/production": "list"})
    with KeyManager(environment="production") as manager:
        manager.generate_key("another")
    use(policy, "reads")
    ran = run("vault", "status", "--env", "production")
    assert ran.code == 3, ran.err
    path = "secret/secureml/production/master_key"
    assert f"key:        {path}  absent; allowed: read" in ran.out
    assert ran.err == f"error: there is no key {path}\n"
    ran = run("vault", "status", "--env", "production", "--json")
    assert json.loads(ran.out)["keys"][0]["state"] == "absent"


@pytest.mark.parametrize("policy", ["secureml-keys-admin", "reads"])
def test_a_key_that_is_deleted_is_told_apart(run, use, here, policy):
    allow(here, "reads", {"secret/data/secureml/production/*": "read"})
    with KeyManager(environment="production") as manager:
        manager.generate_key("master_key")
    path = "secureml/production/master_key"
    here.client().secrets.kv.v2.delete_latest_version_of_secret(path, mount_point="secret")
    use(policy, "reads")
    ran = run("vault", "status", "--env", "production")
    assert ran.code == 3, ran.err
    assert f"key:        secret/{path}  deleted; allowed: read" in ran.out


def test_a_key_of_another_environment_is_denied(run, use):
    use("secureml-staging-read")
    ran = run("vault", "status", "--env", "production")
    assert ran.code == 4
    assert "key:        secret/secureml/production/master_key  none" in ran.out
    assert ran.err == "error: the token may not read secret/secureml/production/master_key\n"


def test_a_token_that_may_not_look_itself_up_is_good_where_it_reads(run, here, monkeypatch):
    with KeyManager() as manager:
        manager.generate_key("master_key")
    monkeypatch.setenv(
        "SECUREML_VAULT_TOKEN",
        here.policy_token(
            'path "secret/data/secureml/*" { capabilities = ["read"] }\n'
            'path "sys/capabilities-self" { capabilities = ["update"] }'
        ),
    )
    ran = run("vault", "status", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["login"]["policies"] is None
    assert found["login"]["error"]
    assert [key["permissions"] for key in found["keys"]] == [["read"]]


def test_a_token_that_may_ask_nothing_is_told_apart_from_none(run, here, monkeypatch):
    monkeypatch.setenv(
        "SECUREML_VAULT_TOKEN",
        here.policy_token('path "auth/token/lookup-self" { capabilities = ["read"] }'),
    )
    ran = run("vault", "status")
    assert "key:        secret/secureml/master_key  not known" in ran.out
    assert ran.code == 0


@pytest.mark.parametrize("token", ["wrong", None])
def test_no_valid_token(run, here, monkeypatch, token):
    if token:
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", token)
    else:
        monkeypatch.delenv("SECUREML_VAULT_TOKEN")
    ran = run("vault", "status", "--json")
    assert ran.code == 4
    found = json.loads(ran.out)
    assert found["addresses"][0]["state"] == "active"
    assert found["error"]
    assert ran.err == f"error: {found['error']}\n"


def test_it_leaves_no_trace(run, here):
    before = here.client().read("sys/mounts")["data"]
    assert run("vault", "status").code == 3
    assert here.client().list("secret/metadata/") is None
    assert here.client().read("sys/mounts")["data"] == before


def test_sealed_then_stopped(run, private_bao, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_URL", private_bao.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", private_bao.root_token.reveal())
    active = run("vault", "status")
    assert active.code == 3
    assert f"leader:     {private_bao.url}\n" in active.out
    assert "login:      token, valid without an end\npolicies:   root\n" in active.out
    private_bao.seal()
    sealed = run("vault", "status", "--json")
    assert sealed.code == 5
    found = json.loads(sealed.out)
    assert [node["state"] for node in found["addresses"]] == ["sealed"]
    assert (found["leader"], found["login"], found["keys"]) == (None, None, [])
    assert "is sealed" in sealed.err
    private_bao.stop()
    down = run("vault", "status")
    assert down.code == 5
    assert f"address:    {private_bao.url}  unavailable: " in down.out


def test_a_server_that_is_not_initialized(run, faulty, monkeypatch):
    server = faulty(b'{"initialized": false, "sealed": true, "version": "2.7.2"}')
    monkeypatch.setenv("SECUREML_VAULT_URL", server.url)
    ran = run("vault", "status")
    assert ran.code == 5
    assert f"{server.url}  not initialized, version 2.7.2" in ran.out


def test_every_address_is_shown_and_one_that_serves_is_enough(
    run, here, faulty, monkeypatch, unused_port
):
    with KeyManager() as manager:
        manager.generate_key("master_key")
    down = f"http://127.0.0.1:{unused_port}"
    standby = faulty(
        b'{"initialized": true, "sealed": false, "version": "2.7.2", "ha_enabled": true, '
        b'"is_self": false, "leader_address": "http://127.0.0.1:1"}'
    ).url
    monkeypatch.setenv("SECUREML_VAULT_URL", f"{here.url}, {down}, {standby}")
    ran = run("vault", "status", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert [(node["address"], node["state"]) for node in found["addresses"]] == [
        (here.url, "active"),
        (down, "unavailable"),
        (standby, "standby"),
    ]
    assert found["leader"] == here.url
    assert found["login"]["policies"]


def test_something_that_is_not_vault(run, faulty, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_URL", faulty(b"<html>", kind="text/html").url)
    ran = run("vault", "status")
    assert ran.code == 5
    assert "does not answer as Vault" in ran.err


def test_a_planned_deletion_is_shown(run, here):
    client = here.client()
    client.write("secret/config", delete_version_after="48h")
    client.write_data(
        "secret/data/secureml/staging/master_key", data={"data": {"value": "ab" * 16}}
    )
    for command in (("vault", "status"), ("keys", "history"), ("keys", "list"), ("keys", "info")):
        ran = run(*command, "--env", "staging")
        assert re.search(r"(deleted at|deletion time:) +20\d\d-", ran.out), ran
        shown = json.loads(run(*command, "--env", "staging", "--json").out)
        shown = shown["keys"] if command[0] == "vault" else shown
        shown = shown[0] if isinstance(shown, list) else shown
        assert shown["deletion_time"].startswith("20")


@pytest.mark.parametrize("command", [("vault", "status"), ("keys", "generate-key")])
@pytest.mark.parametrize("rights", ["all", "read", "write"])
@pytest.mark.parametrize("mount", ["nothing", "old"])
def test_a_mount_without_kv_version_2_is_named_and_left_alone(
    run, vault, monkeypatch, command, rights, mount
):
    client = vault.client()
    client.sys.enable_secrets_engine("kv", "old", options={"version": "1"})
    rules = {"read": '["read"]', "write": '["create", "list", "patch", "read", "update"]'}
    policy = f'path "{mount}/*" {{ capabilities = {rules.get(rights)} }}'
    token = vault.token if rights == "all" else vault.policy_token(policy, no_default_policy=False)
    for name, value in (("URL", vault.url), ("TOKEN", token), ("MOUNT", mount)):
        monkeypatch.setenv(f"SECUREML_VAULT_{name}", value)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    ran = run(*command, "--env", "production")
    assert ran.code == 2, ran
    assert f"vault_mount '{mount}'" in ran.err
    assert "allowed" not in ran.out
    assert client.list("old/") is None


def test_no_address(run):
    ran = run("vault", "status")
    assert (ran.code, ran.out) == (2, "")
    assert "vault_url is not set" in ran.err
