"""Setting a real Vault up: what it makes, that it makes it once, and what its policies allow."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import hvac
import pytest

from helpers.vault import Vault
from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    SecretError,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager
from secureml.secret_types import SecretText
from secureml.settings import ENVIRONMENTS, Settings
from secureml.stores.vault import VaultStore
from secureml.vault import VERSIONS_KEPT
from secureml.vault.client.session import VaultSession
from secureml.vault.devserver.server import DevServer
from secureml.vault.setup.bootstrap import Bootstrap
from secureml.vault.setup.changes import Change, SetupPlan
from secureml.vault.setup.policies import KeyLayout, bootstrap_policy

LAYOUT = KeyLayout(mount="keys", path="secureml", environments=ENVIRONMENTS)


@pytest.fixture
def work(vault: Vault) -> Iterator[Callable[..., Bootstrap]]:
    """Prepare the work in the test's namespace, with any token."""
    sessions = []

    def prepared(layout: KeyLayout = LAYOUT, token: str | None = None, **more: Any) -> Bootstrap:
        sessions.append(VaultSession(settings_of(vault, token, layout.mount)))
        return Bootstrap(sessions[-1], layout, **more)

    yield prepared
    for session in sessions:
        session.close()


def settings_of(vault, token: str | None = None, mount: str = "keys", **more: Any) -> Settings:
    return Settings(
        vault_url=vault.url,
        vault_token=vault.token if token is None else token,
        vault_namespace=vault.namespace,
        vault_mount=mount,
        use_env_fallback=False,
        **more,
    )


def carry_out(work: Bootstrap) -> SetupPlan:
    plan = work.plan()
    for change in plan.changes:
        work.apply(change)
    return plan


def titles(plan: SetupPlan) -> list[str]:
    return [change.title for change in plan.changes]


def dump(vault, mount: str = "keys") -> dict[str, Any]:
    """All that is there, key material aside, as Vault tells it."""
    client = vault.client()
    found = {path: client.read(path)["data"] for path in ("sys/mounts", "sys/auth")}
    for name in client.list("sys/policies/acl")["data"]["keys"]:
        found[name] = (client.read(f"sys/policies/acl/{name}") or {}).get("data")
    if f"{mount}/" in found["sys/mounts"]:
        found["config"] = client.read(f"{mount}/config")["data"]
        found |= dict(metadata(client, f"{mount}/metadata"))
    if "approle/" in found["sys/auth"]:
        listed = client.list("auth/approle/role")
        for role in listed["data"]["keys"] if listed else ():
            found[f"role {role}"] = client.read(f"auth/approle/role/{role}")["data"]
            found[f"id of {role}"] = client.read(f"auth/approle/role/{role}/role-id")["data"]
            found[f"secrets of {role}"] = client.list(f"auth/approle/role/{role}/secret-id")
    return found


def metadata(client, folder: str) -> Iterator[tuple[str, Any]]:
    listed = client.list(folder)
    for entry in listed["data"]["keys"] if listed else ():
        path = f"{folder}/{entry.rstrip('/')}"
        yield from (
            metadata(client, path) if entry.endswith("/") else [(path, client.read(path)["data"])]
        )


def approle_token(vault, role: str) -> str:
    """Log in as an application does."""
    client = vault.client()
    role_id = client.auth.approle.read_role_id(role)["data"]["role_id"]
    secret_id = client.auth.approle.generate_secret_id(role)["data"]["secret_id"]
    answer = client.auth.approle.login(role_id, secret_id, use_token=False)
    token: str = answer["auth"]["client_token"]
    return token


@contextlib.contextmanager
def manager(vault, token: str, environment: str | None) -> Iterator[KeyManager]:
    with KeyManager(settings=settings_of(vault, token, environment=environment)) as opened:
        yield opened


def test_a_second_run_changes_nothing(work, vault):
    first = carry_out(work())
    assert titles(first) == [
        "secrets engine keys/",
        "configuration of keys/",
        "policy secureml-development-read",
        "policy secureml-staging-read",
        "policy secureml-production-read",
        "policy secureml-development-admin",
        "policy secureml-staging-admin",
        "policy secureml-production-admin",
        "policy secureml-keys-admin",
        "policy secureml-bootstrap",
        "auth method approle/",
        "AppRole secureml-development",
        "AppRole secureml-staging",
        "AppRole secureml-production",
    ]
    assert not any(change.overwrites for change in first.changes)
    before = dump(vault)
    assert carry_out(work()) == SetupPlan(())
    assert dump(vault) == before
    assert before["config"]["max_versions"] == VERSIONS_KEPT
    assert before["sys/mounts"]["keys/"]["options"] == {"version": "2"}


def test_a_plan_changes_nothing(work, vault):
    before = dump(vault)
    plan = work().plan()
    assert plan.changes
    assert dump(vault) == before


def test_the_roles_have_the_reading_policy_alone_and_short_lives(work, vault):
    carry_out(work())
    role = dump(vault)["role secureml-staging"]
    assert role["token_policies"] == ["secureml-staging-read"]
    assert role["token_no_default_policy"]
    assert role["bind_secret_id"]
    assert (role["token_ttl"], role["token_max_ttl"]) == (3600, 86400)
    assert (role["secret_id_ttl"], role["secret_id_num_uses"]) == (30 * 86400, 0)
    client = vault.client(approle_token(vault, "secureml-staging"))
    seen = client.auth.token.lookup_self()["data"]
    assert seen["policies"] == ["secureml-staging-read"]
    assert seen["ttl"] <= 3600


def test_the_role_ids_are_those_of_the_roles_and_no_secret_id_is_made(work, vault):
    carry_out(work())
    ids = work().role_ids()
    found = dump(vault)
    assert ids == {name: found[f"id of secureml-{name}"]["role_id"] for name in ENVIRONMENTS}
    assert [found[f"secrets of secureml-{name}"] for name in ENVIRONMENTS] == [None] * 3


def test_an_application_reads_its_environment_and_can_do_nothing_else(work, vault):
    carry_out(work())
    for environment in ("production", "staging"):
        with manager(vault, vault.token, environment) as admin:
            made = admin.generate_key("master_key")
    token = approle_token(vault, "secureml-staging")
    with manager(vault, token, "staging") as staging:
        assert len(staging.get_encryption_key("master_key")) == 32
        assert [info.name for info in staging.list_keys()] == ["master_key"]
        assert len(staging.key_history("master_key")) == 1
        with pytest.raises(AccessDeniedError):
            staging.rotate_key("master_key")
        with pytest.raises(AccessDeniedError, match="'patch'"):
            staging.disable_key_version("master_key", 1)
        with pytest.raises(AccessDeniedError):
            staging.generate_key("another")
        with pytest.raises(AccessDeniedError):
            staging.set_secret("password", "another")
        with pytest.raises(AccessDeniedError):
            staging.destroy_key_version("master_key", 1, confirm=made.fingerprint)
    with manager(vault, token, "production") as production:
        with pytest.raises(AccessDeniedError, match="lack it"):
            production.get_encryption_key("master_key")
        with pytest.raises(AccessDeniedError):
            production.list_keys()
    with manager(vault, token, None) as nowhere, pytest.raises(AccessDeniedError):
        nowhere.list_keys()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "keys/data/secureml/production/master_key"),
        ("get", "keys/metadata/secureml/production/master_key"),
        ("list", "keys/metadata/secureml/production/"),
        ("list", "keys/metadata/secureml/"),
        ("list", "keys/metadata/"),
        ("get", "keys/config"),
        ("post", "keys/data/secureml/staging/another"),
        ("post", "keys/data/secureml/staging/master_key"),
        ("post", "keys/metadata/secureml/staging/another"),
        ("post", "keys/metadata/secureml/staging/master_key"),
        ("post", "keys/delete/secureml/staging/master_key"),
        ("post", "keys/undelete/secureml/staging/master_key"),
        ("post", "keys/destroy/secureml/staging/master_key"),
        ("delete", "keys/data/secureml/staging/master_key"),
        ("delete", "keys/metadata/secureml/staging/master_key"),
        ("post", "auth/approle/role/secureml-staging/secret-id"),
        ("post", "auth/token/create"),
        ("get", "sys/policies/acl/secureml-staging-read"),
    ],
)
def test_an_application_is_denied_every_other_request(work, vault, method, path):
    carry_out(work())
    make_keys(vault)
    client = vault.client(approle_token(vault, "secureml-staging"))
    body = {"data": {"value": "x"}, "versions": [1], "max_versions": 1}
    answer = status_of(client, method, path, body)
    assert answer == 403


def make_keys(vault) -> None:
    """Writing to what is there takes another right than making something new."""
    for environment in ("staging", "production"):
        vault.client().write_data(
            f"keys/data/secureml/{environment}/master_key", data={"data": {"value": "x"}}
        )


def status_of(client, method: str, path: str, body: object = None) -> int:
    adapter = client.adapter
    response = adapter.session.request(
        method.upper(),
        f"{adapter.base_uri}/v1/{path}",
        json=body,
        headers={"X-Vault-Token": adapter.token, "X-Vault-Namespace": adapter.namespace},
    )
    status: int = response.status_code
    return status


@pytest.mark.parametrize("environment", [None, "staging"])
@pytest.mark.parametrize("also_reading", [False, True])
def test_a_key_administrator_can_do_all_that_keys_need(work, vault, environment, also_reading):
    carry_out(work())
    policies = [LAYOUT.policy_name("admin", environment)]
    if also_reading:
        policies += [f"secureml-{name}-read" for name in ENVIRONMENTS]
    token = token_with(vault, policies)
    with manager(vault, token, environment) as admin:
        first = admin.generate_key("master_key")
        assert admin.rotate_key("master_key").version == 2
        assert [info.version for info in admin.key_history("master_key")] == [1, 2]
        assert [info.name for info in admin.list_keys()] == ["master_key"]
        assert admin.disable_key_version("master_key", 2).state == "disabled"
        assert admin.enable_key_version("master_key", 2).state == "enabled"
        assert admin.set_rotation_period("master_key", 90).due is not None
        admin.destroy_key_version("master_key", 1, confirm=first.fingerprint)
    client = vault.client(token)
    folder = "/".join(filter(None, ("secureml", environment)))
    assert status_of(client, "delete", f"keys/metadata/{folder}/master_key") == 403
    assert status_of(client, "post", f"keys/delete/{folder}/master_key", {"versions": [2]}) == 204
    assert status_of(client, "post", f"keys/undelete/{folder}/master_key", {"versions": [2]}) == 204
    assert status_of(client, "get", "keys/data/elsewhere/x") == 403
    for other in {None, *ENVIRONMENTS} - {environment}:
        folder = "/".join(filter(None, ("secureml", other)))
        for method in ("post", "get") if not also_reading else ("post",):
            body = {"data": {"value": "x"}}
            assert status_of(client, method, f"keys/data/{folder}/k", body) == 403


def token_with(vault, policies: list[str]) -> str:
    answer = vault.client().auth.token.create(
        policies=policies, no_parent=True, no_default_policy=True
    )
    token: str = answer["auth"]["client_token"]
    return token


def operator(vault, policy: str, layout: KeyLayout = LAYOUT) -> str:
    """A token that has the policy for bootstrap alone, as the operator before left it."""
    client = vault.client()
    client.sys.create_or_update_policy(layout.bootstrap_policy_name, bootstrap_policy(layout))
    client.sys.create_or_update_policy("as-tested", policy)
    return token_with(vault, ["as-tested"])


def disturb(vault) -> None:
    """Leave the mount and a key with too few versions, and a policy and a role that differ."""
    client = vault.client()
    client.write("keys/config", max_versions=5)
    client.write("keys/metadata/secureml/staging/master_key", max_versions=5)
    client.sys.create_or_update_policy("secureml-keys-admin", 'path "x" { capabilities = [] }')
    client.sys.create_or_update_policy("secureml-staging-read", 'path "x" { capabilities = [] }')
    client.auth.approle.create_or_update_approle("secureml-staging", token_ttl="2h")


def everything(vault, work, policy: str) -> None:
    """Set up from nothing, again, and after a disturbance, with a policy alone."""
    token = operator(vault, policy)
    carry_out(work(token=token))
    assert work(token=token).plan() == SetupPlan(())
    disturb(vault)
    work(token=token).check(work(token=token).plan())
    assert len(carry_out(work(token=token)).changes) == 5
    assert work(token=token).plan() == SetupPlan(())
    assert len(work(token=token).role_ids()) == 3
    if vault.namespace:
        with pytest.raises(AccessDeniedError, match="lists them in its root namespace alone"):
            work(token=token).audit_devices()


def test_bootstrap_runs_under_its_own_policy(work, vault):
    everything(vault, work, bootstrap_policy(LAYOUT))


ONE = KeyLayout(mount="keys", path="teams/payments", environments=("staging",))


def rules_of(policy: str) -> list[tuple[str, str]]:
    return [
        (path, capability)
        for path, listing in re.findall(r'path "([^"]+)" \{\s*capabilities = \[([^\]]*)\]', policy)
        for capability in re.findall(r'"(\w+)"', listing)
        if "-self" not in path and path != "sys/audit"  # of these, see the tests below
    ]


@pytest.mark.parametrize(("path", "capability"), rules_of(bootstrap_policy(ONE)))
def test_bootstrap_fails_without_any_single_right_of_its_policy(work, vault, path, capability):
    less = re.sub(
        rf'(path "{re.escape(path)}" \{{\s*capabilities = )\[([^\]]*)\]',
        lambda found: (
            found[1]
            + "["
            + ", ".join(name for name in found[2].split(", ") if name != f'"{capability}"')
            + "]"
        ),
        bootstrap_policy(ONE),
    )
    assert less != bootstrap_policy(ONE)
    token = operator(vault, less, ONE)
    here = work(ONE, token)
    with pytest.raises(AccessDeniedError):
        whole_way(vault, work, here)


def whole_way(vault, work, here: Bootstrap) -> None:
    carry_out(here)
    client = vault.client()
    client.write("keys/config", max_versions=5, delete_version_after="48h")
    client.write_data("keys/data/teams/payments/staging/k", data={"data": {"value": "x"}})
    client.write("keys/metadata/teams/payments/staging/master_key", max_versions=5)
    for name in ("secureml-staging-read", "secureml-keys-admin"):
        client.sys.create_or_update_policy(name, 'path "x" { capabilities = [] }')
    client.auth.approle.create_or_update_approle("secureml-staging", token_ttl="2h")
    carry_out(here)
    here.role_ids()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "keys/data/secureml/production/master_key"),
        ("post", "keys/data/secureml/production/master_key"),
        ("post", "keys/data/secureml/production/another"),
        ("post", "keys/destroy/secureml/production/master_key"),
        ("delete", "keys/metadata/secureml/production/master_key"),
        ("post", "auth/approle/role/secureml-production/secret-id"),
        ("post", "auth/token/create"),
        ("post", "sys/policies/acl/secureml-bootstrap"),
        ("post", "sys/policies/acl/another"),
        ("delete", "sys/mounts/keys"),
        ("delete", "sys/auth/approle"),
    ],
)
def test_the_bootstrap_policy_denies_every_other_request(work, vault, method, path):
    token = operator(vault, bootstrap_policy(LAYOUT))
    carry_out(work(token=token))
    make_keys(vault)
    body = {"policy": "", "data": {}, "versions": [1]}
    assert status_of(vault.client(token), method, path, body) == 403


def test_the_plan_shows_and_corrects_each_difference(work, vault):
    carry_out(work())
    before = dump(vault)
    disturb(vault)
    plan = work().plan()
    assert titles(plan) == [
        "configuration of keys/",
        "metadata of keys/secureml/staging/master_key",
        "policy secureml-staging-read",
        "policy secureml-keys-admin",
        "AppRole secureml-staging",
    ]
    assert [change.overwrites for change in plan.changes] == [False, False, True, True, True]
    config, key, reading, _, role = plan.changes
    assert config.diff().splitlines()[-2:] == [
        "-max_versions = 5",
        f"+max_versions = {VERSIONS_KEPT}",
    ]
    assert key.diff().splitlines()[-2:] == ["-max_versions = 5", f"+max_versions = {VERSIONS_KEPT}"]
    assert '-path "x" { capabilities = [] }' in reading.diff().splitlines()
    changed = [line for line in role.diff().splitlines() if line[:2] in ("-t", "+t")]
    assert changed == ["-token_ttl = 7200", "+token_ttl = 3600"]
    for change in plan.changes:
        work().apply(change)
    after = dump(vault)
    path = "keys/metadata/secureml/staging/master_key"
    assert after.pop(path)["max_versions"] == VERSIONS_KEPT
    assert without_times(after) == without_times(before)


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {key: value for key, value in entry.items() if key not in ("modified", "version")}
        if isinstance(entry, dict)
        else entry
        for name, entry in found.items()
    }


def test_a_policy_that_an_operator_added_to_a_role_stays(work, vault):
    carry_out(work())
    client = vault.client()
    client.auth.approle.create_or_update_approle(
        "secureml-staging", token_ttl="2h", secret_id_bound_cidrs=["10.0.0.0/8"]
    )
    carry_out(work())
    role = dump(vault)["role secureml-staging"]
    assert role["token_ttl"] == 3600
    assert role["secret_id_bound_cidrs"] == ["10.0.0.0/8"]


def test_a_mount_that_serves_others_keeps_its_limit_and_the_keys_get_theirs(work, vault):
    client = vault.client()
    client.write_data("secret/data/other/thing", data={"data": {"value": "x"}})
    client.write_data("secret/data/secureml/production/master_key", data={"data": {"value": "x"}})
    layout = replace(LAYOUT, mount="secret")
    plan = carry_out(work(layout))
    assert titles(plan)[0] == "metadata of secret/secureml/production/master_key"
    assert "holds other things than secureml/" in plan.remarks[0]
    found = dump(vault, "secret")
    assert found["config"]["max_versions"] == 0
    assert found["secret/metadata/other/thing"]["max_versions"] == 0
    assert found["secret/metadata/secureml/production/master_key"]["max_versions"] == VERSIONS_KEPT
    assert work(layout).plan().changes == ()


KEY = "secureml/production/master_key"


def test_a_mount_that_deletes_versions_gives_that_up(work, vault):
    client = vault.client()
    client.write("secret/config", delete_version_after="48h", max_versions=VERSIONS_KEPT)
    client.write(f"secret/metadata/{KEY}", delete_version_after="24h")
    for number in (1, 2, 3):
        client.write_data(f"secret/data/{KEY}", data={"data": {"value": str(number)}})
    client.secrets.kv.v2.delete_secret_versions(KEY, [1])
    client.secrets.kv.v2.destroy_secret_versions(KEY, [2])
    layout = replace(LAYOUT, mount="secret")
    config, metadata, versions = carry_out(work(layout)).changes[:3]
    assert config.diff().splitlines()[-2:] == [
        "-delete_version_after = 48h0m0s",
        "+delete_version_after = 0s",
    ]
    assert "delete_version_after = 24h" in metadata.before
    assert versions.body == {"versions": [3]}
    found = dump(vault, "secret")
    assert found["config"]["delete_version_after"] == "0s"
    assert found["config"]["max_versions"] == VERSIONS_KEPT
    kept = client.read(f"secret/metadata/{KEY}")["data"]
    assert kept["delete_version_after"] == "0s"
    assert kept["versions"]["1"]["deletion_time"] != ""
    assert kept["versions"]["3"]["deletion_time"] == ""
    assert work(layout).plan().changes == ()


def test_a_mount_that_deletes_versions_of_others_is_refused(work, vault):
    client = vault.client()
    client.write("secret/config", delete_version_after="48h", max_versions=VERSIONS_KEPT)
    client.write_data("secret/data/other/thing", data={"data": {"value": "x"}})
    before = dump(vault, "secret")
    with pytest.raises(ConfigurationError, match="deletes every version after 48h"):
        work(replace(LAYOUT, mount="secret")).plan()
    assert dump(vault, "secret") == before


def test_a_mount_that_is_there_and_serves_only_keys_gets_the_limit(work, vault):
    vault.client().write_data(
        "secret/data/secureml/production/master_key", data={"data": {"value": "x"}}
    )
    layout = replace(LAYOUT, mount="secret")
    plan = carry_out(work(layout))
    assert titles(plan)[:2] == ["configuration of secret/", "policy secureml-development-read"]
    assert plan.remarks == ()
    assert dump(vault, "secret")["config"]["max_versions"] == VERSIONS_KEPT
    for number in range(12):
        vault.client().write_data(
            "secret/data/secureml/production/master_key", data={"data": {"value": number}}
        )
    versions = dump(vault, "secret")["secret/metadata/secureml/production/master_key"]["versions"]
    assert len(versions) == 13


def test_the_limit_is_the_one_that_the_store_asks_for(vault, work):
    carry_out(work())
    session = VaultSession(settings_of(vault, environment="staging"))
    store = VaultStore(session, settings_of(vault, environment="staging"))
    store.write("key", {"value": "x"}, cas=0)
    store.keep_all_versions("key")
    kept = vault.client().read("keys/metadata/secureml/staging/key")["data"]["max_versions"]
    store.close()
    assert kept == VERSIONS_KEPT


@pytest.mark.parametrize(
    ("engine", "options", "found"),
    [
        ("kv", {"version": "1"}, "kv version 1"),
        ("kv", None, "kv version 1"),
        ("transit", None, "transit"),
    ],
)
def test_another_engine_at_the_mount_of_keys_is_refused(work, vault, engine, options, found):
    vault.client().sys.enable_secrets_engine(engine, path="keys", options=options)
    before = dump_mounts(vault)
    with pytest.raises(ConfigurationError, match=rf"of type {found}, and not kv version 2"):
        work().plan()
    assert dump_mounts(vault) == before


@pytest.mark.parametrize(("there", "wanted"), [("keys", "keys/inner"), ("keys/inner", "keys")])
def test_a_mount_in_the_way_is_named(work, vault, there, wanted):
    vault.client().sys.enable_secrets_engine("kv", path=there, options={"version": "2"})
    with pytest.raises(ConfigurationError, match=f"because of the mount '{there}/'"):
        work(replace(LAYOUT, mount=wanted)).plan()


def test_another_auth_method_at_the_mount_of_approle_is_refused(work, vault):
    vault.client().sys.enable_auth_method("userpass", path="approle")
    with pytest.raises(ConfigurationError, match="of type userpass, and not approle"):
        work().plan()


def dump_mounts(vault) -> Any:
    return vault.client().read("sys/mounts")["data"]


def test_bootstrap_without_rights_is_denied_and_changes_nothing(work, vault):
    token = vault.policy_token(
        'path "auth/token/lookup-self" { capabilities = ["read"] }\n'
        'path "sys/mounts" { capabilities = ["read"] }'
    )
    before = dump(vault)
    with pytest.raises(AccessDeniedError) as caught:
        carry_out(work(token=token))
    assert caught.value.path == "sys/policies/acl/secureml-development-read"
    assert dump(vault) == before


def test_a_plan_that_can_not_be_finished_is_not_begun(work, vault):
    own = bootstrap_policy(LAYOUT)
    role = "auth/approle/role/secureml-production"
    less = own.replace(f'path "{role}" {{\n  capabilities = ["create", "read", "update"]', "@")
    less = less.replace("@", f'path "{role}" {{\n  capabilities = ["read", "update"]')
    less = less.replace('["sudo", "update"]', '["update"]').replace(f"{role}/role-id", "nowhere")
    here = work(token=operator(vault, less))
    before = dump(vault)
    plan = here.plan()
    with pytest.raises(AccessDeniedError) as caught:
        here.check(plan)
    assert caught.value.message == (
        "nothing was changed: the token's policies lack 'sudo' on 'sys/auth/approle', 'create' on "
        f"'{role}', 'read' on '{role}/role-id'"
    )
    assert (caught.value.path, caught.value.capability) == ("sys/auth/approle", "sudo")
    assert dump(vault) == before


def test_a_token_that_may_not_ask_what_it_may_do_begins_nothing(work, vault):
    less = bootstrap_policy(LAYOUT).replace("sys/capabilities-self", "nowhere")
    here = work(token=operator(vault, less))
    with pytest.raises(AccessDeniedError, match="may not ask what it may do"):
        here.check(here.plan())


def test_a_refusal_in_the_middle_names_the_capability_of_that_request(work, vault):
    less = bootstrap_policy(LAYOUT).replace('["sudo", "update"]', '["update"]')
    with pytest.raises(AccessDeniedError, match="'sudo and update' on 'sys/auth/approle'"):
        carry_out(work(token=operator(vault, less)))


def test_two_bootstraps_at_once_take_what_the_other_has_made(work, vault):
    first, second = work(), work()
    plans = first.plan(), second.plan()
    for mine, others in zip(*(plan.changes for plan in plans), strict=True):
        first.apply(mine)
        second.apply(others)
    assert work().plan() == SetupPlan(())


def test_another_mount_that_an_operator_made_meanwhile_is_refused(work, vault):
    here = work()
    plan = here.plan()
    vault.client().sys.enable_secrets_engine("transit", path="keys")
    with pytest.raises(ConfigurationError, match="of type transit, and not kv version 2"):
        here.apply(plan.changes[0])


def test_a_change_that_vault_does_not_accept_is_an_error(work):
    wrong = Change(title="t", path="sys/mounts/x", before="", after="", body={"type": "nonsense"})
    with pytest.raises(SecretError, match="does not accept what was written to 'sys/mounts/x'"):
        work().apply(wrong)


def test_a_mount_that_never_gets_ready_is_given_up_after_a_wait(work, monkeypatch, vault):
    """The wait ends; a request that the mount keeps refusing stands for one that takes long."""
    waited: list[float] = []
    layout = replace(LAYOUT, mount="slow")
    here = work(layout, sleep=waited.append)
    vault.client().sys.enable_secrets_engine("kv", path="slow", options={"version": "1"})
    vault.client().sys.disable_secrets_engine("slow")
    first = here.plan().changes[0]
    here.apply(replace(first, path="sys/mounts/other"))
    wrong = replace(first, body={"type": "transit"})
    with pytest.raises(VaultUnavailableError, match="'slow' did not get ready"):
        here.apply(wrong)
    assert 5 <= sum(waited) <= 15


def test_bootstrap_lists_audit_devices_if_the_token_may_read_them(tmp_path):
    with DevServer(tmp_path / "audited", audit=True) as server:
        client = hvac.Client(server.url, token=server.root_token.reveal())
        own = bootstrap_policy(LAYOUT)
        for policy in (own, own.replace('["read", "sudo"]', '["read"]')):
            client.sys.create_or_update_policy("as-tested", policy)
            answer = client.auth.token.create(policies=["as-tested"], no_default_policy=True)
            token = answer["auth"]["client_token"]
            session = VaultSession(Settings(vault_url=server.url, vault_token=token))
            work = Bootstrap(session, LAYOUT)
            if policy is own:
                assert work.audit_devices() == ("log/",)
            else:
                with pytest.raises(AccessDeniedError, match="may not read sys/audit"):
                    work.audit_devices()
            session.close()
        client.adapter.close()


def test_bootstrap_lists_no_audit_device_if_there_is_none(bao):
    session = VaultSession(Settings(vault_url=bao.url, vault_token=bao.root_token))
    assert Bootstrap(session, LAYOUT).audit_devices() == ()
    session.close()


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_change_that_is_not_repeatable_is_sent_once(faulty, repeatable):
    server = faulty(reset=True)
    session = VaultSession(
        Settings(vault_url=server.url, vault_token=SecretText("a-token"), vault_timeout=1.0)
    )
    change = Change(title="t", path="x", before="", after="", body={}, repeatable=repeatable)
    with pytest.raises(VaultUnavailableError):
        Bootstrap(session, LAYOUT).apply(change)
    session.close()
    assert (len(server.received) > 1) is repeatable


def test_mounts_alone_are_not_repeatable_changes(work):
    once = [change.path for change in work().plan().changes if not change.repeatable]
    assert once == ["sys/mounts/keys", "sys/auth/approle"]
