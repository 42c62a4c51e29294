"""``secureml vault status`` on servers that are up, sealed, down, and on tokens of every kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from helpers.vault import Vault
from secureml.cli.diagnosis import key_accesses
from secureml.key_management import KeyManager
from secureml.settings import Layers, Settings, load_settings
from secureml.stores.vault import VaultStore
from secureml.vault.client.session import VaultSession
from secureml.vault.devserver.server import DevServer
from secureml.vault.setup.bootstrap import Bootstrap
from secureml.vault.setup.policies import KeyLayout

LAYOUT = KeyLayout(mount="secret", path="secureml", environments=("staging", "production"))


@pytest.fixture
def here(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Vault:
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
def use(here: Vault, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
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
        "lasts": False,
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
            "gaps": [],
            "transit_key": None,
            "transit_problem": "",
        }
        for name in ("master_key", "another")
    ]
    assert found["mount"] == {
        "name": "secret",
        "engine": "kv version 2",
        "deletes_after": None,
    }
    assert [finding.split(" in ")[0] for finding in found["findings"]] == ["the token ends"]
    assert found["error"] is None


def test_a_key_administrator_may_do_everything(run, use, here):
    with KeyManager(environment="production") as manager:
        manager.generate_key("master_key")
    use("secureml-production-admin", "secureml-production-read")
    ran = run("vault", "status", "--env", "production")
    assert ran.code == 0, ran.err
    lines = dict(line.split(":", 1) for line in ran.out.splitlines())
    assert lines["key"].split(maxsplit=1) == [
        "secret/secureml/production/master_key",
        "read, history, write, destroy",
    ]
    assert lines["policies"].strip() == "secureml-production-admin, secureml-production-read"
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


@pytest.mark.parametrize("policy", ["secureml-production-admin", "reads", "lists"])
def test_status_tells_an_absent_key(run, use, here, policy):
    allow(here, "reads", {"secret/data/secureml/production/*": "read"})
    allow(here, "lists", {"secret/metadata/secureml/production": "list"})
    with KeyManager(environment="production") as manager:
        manager.generate_key("another")
    use(policy, "reads")
    ran = run("vault", "status", "--env", "production")
    assert ran.code == 3, ran.err
    path = "secret/secureml/production/master_key"
    assert f"key:        {path}  absent; allowed: read" in ran.out
    assert ran.err == f"error: there is no key {path} (SML-201)\n"
    ran = run("vault", "status", "--env", "production", "--json")
    assert json.loads(ran.out)["keys"][0]["state"] == "absent"


@pytest.mark.parametrize("policy", ["secureml-production-admin", "reads"])
def test_status_tells_a_deleted_key(run, use, here, policy):
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
    assert (
        ran.err == "error: the token may not read secret/secureml/production/master_key (SML-310)\n"
    )


def test_status_takes_a_token_that_may_read_but_not_look_itself_up(run, here, monkeypatch):
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


def test_status_does_not_know_the_key_if_the_token_may_ask_nothing(run, here, monkeypatch):
    monkeypatch.setenv(
        "SECUREML_VAULT_TOKEN",
        here.policy_token('path "auth/token/lookup-self" { capabilities = ["read"] }'),
    )
    ran = run("vault", "status")
    assert "key:        secret/secureml/master_key  not known" in ran.out
    assert ran.code == 0


@pytest.mark.parametrize("token", ["wrong", None])
def test_status_without_a_valid_token_exits_with_4(run, here, monkeypatch, token):
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


def test_status_writes_nothing_to_vault(run, here):
    before = here.client().read("sys/mounts")["data"]
    assert run("vault", "status").code == 3
    assert here.client().list("secret/metadata/") is None
    assert here.client().read("sys/mounts")["data"] == before


def test_status_tells_an_active_a_sealed_and_a_stopped_server(run, private_bao, monkeypatch):
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


def test_status_tells_a_server_that_is_not_initialized(run, faulty, monkeypatch):
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


def test_status_tells_an_answer_that_is_not_vaults(run, faulty, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_URL", faulty(b"<html>", kind="text/html").url)
    ran = run("vault", "status")
    assert ran.code == 5
    assert "does not answer as Vault" in ran.err


def test_status_shows_a_planned_deletion(run, here):
    client = here.client()
    client.write("secret/config", delete_version_after="48h")
    client.write_data(
        "secret/data/secureml/staging/master_key", data={"data": {"value": "ab" * 16}}
    )
    for command in (("vault", "status"), ("keys", "history"), ("keys", "list"), ("keys", "info")):
        ran = run(*command, "--env", "staging")
        assert re.search(r"(deleted at|deletion time:|master_key at) +20\d\d-", ran.out), ran
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


def test_status_without_an_address_exits_with_2(run):
    ran = run("vault", "status")
    assert (ran.code, ran.out) == (2, "")
    assert "vault_url is not set" in ran.err


@pytest.fixture
def wrapping(here: Vault, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """The same with a transit engine, and a key that it wraps."""
    monkeypatch.setenv("SECUREML_KEY_BACKEND", "transit")
    monkeypatch.setenv("SECUREML_ENV", "staging")
    here.client().sys.enable_secrets_engine("transit")
    with KeyManager() as manager:
        manager.generate_key("master_key")
    return here


TRANSIT_KEY = "secureml.staging.master_key"


def attention(ran) -> list[str]:
    lines = [line.partition(":") for line in ran.out.splitlines()]
    return [text.strip() for name, _, text in lines if name == "attention"]


def test_the_mount_and_what_it_deletes_are_shown(run, here):
    with KeyManager() as manager:
        manager.generate_key("master_key")
    ran = run("vault", "status")
    assert "mount:      secret/  kv version 2, deletes no versions\n" in ran.out
    here.client().write("secret/config", delete_version_after="720h")
    ran = run("vault", "status")
    assert "mount:      secret/  kv version 2, deletes versions after 720h0m0s\n" in ran.out
    assert attention(ran) == ["the mount secret/ deletes each version after 720h0m0s"]


def test_an_application_does_not_see_whether_the_mount_deletes(run, use):
    use("secureml-staging-read")
    ran = run("vault", "status", "--env", "staging")
    assert (
        "mount:      secret/  kv version 2, whether it deletes versions is not known\n" in ran.out
    )


def test_versions_without_material_are_pointed_out(run, here):
    with KeyManager() as manager:
        first = manager.generate_key("master_key")
        for _ in range(3):
            manager.rotate_key("master_key")
        manager.destroy_key_version("master_key", 1, confirm=first.fingerprint)
    path = "secureml/master_key"
    here.client().secrets.kv.v2.delete_secret_versions(path, [3], mount_point="secret")
    ran = run("vault", "status")
    assert ran.code == 0, ran.err
    assert attention(ran) == [f"secret/{path} has no material of these versions: 1, 3"]


def test_a_wrapped_key_takes_the_right_to_unwrap(run, wrapping, use):
    assert attention(run("vault", "status")) == []
    rights = {"secret/data/secureml/staging/*": "read", "transit/encrypt/*": "update"}
    allow(wrapping, "reads", rights)
    use("reads")
    ran = run("vault", "status")
    assert "key:        secret/secureml/staging/master_key  read\n" in ran.out
    lacking = f"the token may not unwrap with the transit key transit/{TRANSIT_KEY}"
    assert lacking in attention(ran)
    allow(wrapping, "unwraps", {f"transit/decrypt/{TRANSIT_KEY}": "update"})
    use("reads", "unwraps")
    ran = run("vault", "status")
    assert "key:        secret/secureml/staging/master_key  read, unwrap\n" in ran.out
    assert lacking not in attention(ran)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"exportable": True}, "is exportable: it may leave Vault"),
        ({"allow_plaintext_backup": True}, "is exportable: it may leave Vault"),
    ],
)
def test_status_points_out_a_transit_key_that_can_not_wrap_keys(run, wrapping, change, finding):
    wrapping.client().adapter.post(f"/v1/transit/keys/{TRANSIT_KEY}/config", json=change)
    assert attention(run("vault", "status")) == [f"the transit key transit/{TRANSIT_KEY} {finding}"]


class Earlier(VaultStore):
    """What was written a minute ago, without waiting for it."""

    def versions(self, name):
        infos = super().versions(name)
        return tuple(replace(info, created=info.created - timedelta(minutes=1)) for info in infos)


def test_a_transit_key_that_was_made_anew_is_pointed_out(wrapping):
    adapter = wrapping.client().adapter
    path = f"/v1/transit/keys/{TRANSIT_KEY}"
    adapter.post(f"{path}/config", json={"deletion_allowed": True})
    adapter.delete(path)
    adapter.post(path, json={"derived": True})
    settings = load_settings(Layers())
    store = Earlier(VaultSession(settings), settings)
    (key,) = key_accesses(settings, store)
    store.close()
    assert key.transit_problem.startswith("is younger than what it wraps: it was made anew")


@pytest.mark.parametrize(
    ("options", "ends"),
    [({"ttl": "1h"}, True), ({"ttl": "100h"}, False), ({"period": "1h"}, False)],
)
def test_a_token_near_its_end_is_pointed_out_unless_it_is_renewed(
    run, here, monkeypatch, options, ends
):
    with KeyManager() as manager:
        manager.generate_key("master_key")
    rights = 'path "*" { capabilities = ["read", "update", "list"] }'
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", here.policy_token(rights, **options))
    found = attention(run("vault", "status"))
    assert [line.startswith("the token ends in ") for line in found] == [True] * ends


def test_two_active_addresses_are_pointed_out(run, here, bao, tmp_path, monkeypatch):
    with KeyManager() as manager:
        manager.generate_key("master_key")
    with DevServer(tmp_path / "second") as other:
        monkeypatch.setenv("SECUREML_VAULT_URL", f"{here.url},{other.url}")
        found = attention(run("vault", "status"))
    assert found == [
        f"{here.url} and {other.url} are all active: they are not one cluster, and their keys may"
        " differ"
    ]


def test_keys_check_ends_with_what_monitoring_asks_for(run, wrapping, use, monkeypatch):
    well = run("keys", "check")
    assert (well.code, well.out, well.err) == (0, "ok\n", "")
    use("secureml-staging-read")
    denied = run("keys", "check", "--json")
    assert denied.code == 4  # it may read the record, and not unwrap it
    assert "Vault denies 'update' on 'transit/decrypt/" in json.loads(denied.out)["error"]
    absent = run("keys", "check", "--env", "production")
    assert absent.code == 4
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", wrapping.token)
    absent = run("keys", "check", "--env", "production")
    assert (absent.code, absent.out) == (3, "")
    wrapping.client().adapter.post(
        f"/v1/transit/keys/{TRANSIT_KEY}/config", json={"exportable": True}
    )
    amiss = run("keys", "check")
    assert (amiss.code, amiss.err) == (1, "")
    assert "is exportable" in amiss.out


def test_keys_check_tells_versions_that_hold_the_same_key(run, here):
    with KeyManager() as manager:
        manager.generate_key("master_key")
        manager.rotate_key("master_key")
    assert run("keys", "check").code == 0
    kv = here.client().secrets.kv.v2
    path = "secureml/master_key"
    first = kv.read_secret_version(path, version=1, raise_on_deleted_version=True)
    kv.create_or_update_secret(path, first["data"]["data"])
    ran = run("keys", "check")
    assert (ran.code, ran.out) == (1, f"secret/{path}: versions 1 and 3 hold the same key\n")
