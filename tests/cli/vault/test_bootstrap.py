"""``secureml vault bootstrap``: what it prints, asks and leaves alone."""

from __future__ import annotations

import json
import re

import pytest

from helpers.commands import Run
from helpers.vault import Vault

NAMES = ("development", "staging", "production")
POLICIES = [
    *(f"secureml-{name}-{what}" for what in ("read", "admin") for name in NAMES),
    "secureml-keys-admin",
    "secureml-bootstrap",
]
TOO_WIDE = 'path "*" {\n  capabilities = ["read"]\n}\n'


@pytest.fixture
def here(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """The variables that lead to the test's own namespace, and to a mount that isn't there yet."""
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    monkeypatch.setenv("SECUREML_VAULT_MOUNT", "keys")
    return vault


def policies(vault) -> dict[str, str]:
    client = vault.client()
    names = client.sys.list_acl_policies()["data"]["keys"]
    found = (name for name in names if name.startswith("secureml-"))
    return {name: client.sys.read_acl_policy(name)["data"]["policy"] for name in found}


def everything(vault) -> object:
    client = vault.client()
    return [policies(vault), client.read("sys/mounts")["data"], client.read("sys/auth")["data"]]


def test_bootstrap_prints_what_it_created_and_nothing_the_second_time(run, here):
    ran = run("vault", "bootstrap", "--environments", "development,staging,production")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[:2] == ["created  secrets engine keys/", "created  configuration of keys/"]
    assert [line for line in lines if "policy" in line] == [
        f"created  policy {name}" for name in POLICIES
    ]
    assert sorted(policies(here)) == sorted(POLICIES)
    before = everything(here)
    again = run("vault", "bootstrap", "--environments", "development,staging,production")
    assert again.code == 0
    assert again.out.startswith("There was nothing to do: all is as it should be.\n")
    assert everything(here) == before


def test_bootstrap_prints_role_ids_and_makes_no_secret_id(run, here):
    ran = run("vault", "bootstrap", "--environments", "prod")
    assert ran.code == 0, ran.err
    client = here.client()
    role_id = client.auth.approle.read_role_id("secureml-production")["data"]["role_id"]
    path = "auth/approle/role/secureml-production/secret-id"
    namespace = f"-namespace={here.namespace} " if here.namespace else ""
    assert ran.out.endswith(
        f"\nproduction\n  role_id    {role_id}\n"
        f"  secret_id  vault write {namespace}-f {path}\n"
        f"  wrapped    vault write {namespace}-wrap-ttl=5m -f {path}\n"
    )
    assert client.list(path) is None
    assert here.token not in ran.out + ran.err


@pytest.mark.parametrize("mount", ["approle", "machines"])
def test_an_application_logs_in_with_what_is_printed(run, here, monkeypatch, tmp_path, mount):
    for environment in ("staging", "production"):
        assert run("vault", "bootstrap", "--approle-mount", mount).code == 0
        assert run("keys", "generate-key", "--env", environment).code == 0
    ran = run("vault", "bootstrap", "--approle-mount", mount)
    staging = ran.out.partition("\nstaging\n")[2].splitlines()
    (_, role_id), (_, *line) = staging[0].split(), staging[1].split()
    namespace = [f"-namespace={here.namespace}"] if here.namespace else []
    assert line[:-1] == ["vault", "write", *namespace, "-f"]
    (tmp_path / "secret-id").write_text(here.client().write(line[-1])["data"]["secret_id"])
    monkeypatch.delenv("SECUREML_VAULT_TOKEN")
    monkeypatch.setenv("SECUREML_VAULT_AUTH", "approle")
    monkeypatch.setenv("SECUREML_VAULT_ROLE_ID", role_id)
    monkeypatch.setenv("SECUREML_VAULT_SECRET_ID_FILE", str(tmp_path / "secret-id"))
    if mount != "approle":
        assert f"SECUREML_VAULT_AUTH_MOUNT={mount}," in ran.err
        monkeypatch.setenv("SECUREML_VAULT_AUTH_MOUNT", mount)
    assert run("keys", "get-key", "--env", "staging").code == 0
    denied = run("keys", "get-key", "--env", "production")
    assert denied.code == 4
    assert "Vault denies 'read' on 'keys/data/secureml/production/master_key'" in denied.err
    status = run("vault", "status", "--env", "staging")
    assert status.code == 0
    assert "login:      approle, valid for " in status.out
    assert "policies:   secureml-staging-read\n" in status.out


def test_bootstrap_takes_an_environment_of_the_user(run, here):
    ran = run("vault", "bootstrap", "--environments", "production, production-eu,prod")
    assert ran.code == 0, ran.err
    assert "created  AppRole secureml-production-eu\n" in ran.out
    assert ran.out.count("created  AppRole") == 2


def test_a_plan_of_bootstrap_is_a_diff_and_changes_nothing(run, here):
    before = everything(here)
    ran = run("vault", "bootstrap", "--plan")
    assert ran.code == 2
    assert '--- /dev/null\n+++ secrets engine keys/\n@@ -0,0 +1,2 @@\n+type = "kv"\n' in ran.out
    assert '+path "keys/data/secureml/staging/*" {' in ran.out
    assert ran.out.endswith("14 changes to make; nothing was changed.\n")
    assert everything(here) == before


def test_a_plan_of_bootstrap_says_that_there_is_nothing_to_do(run, here):
    run("vault", "bootstrap")
    ran = run("vault", "bootstrap", "--plan")
    assert (ran.code, ran.out) == (0, "There is nothing to do: all is as it should be.\n")


def test_the_policies_are_printed_as_they_are_written_and_without_asking_vault(run, here):
    run("vault", "bootstrap")
    written = policies(here)
    here.client().sys.disable_secrets_engine("keys")
    ran = run("vault", "bootstrap", "--print-hcl")
    assert ran.code == 0
    printed = re.split(r"^# Policy (\S+)\n", ran.out, flags=re.MULTILINE)[1:]
    pairs = zip(printed[::2], printed[1::2], strict=True)
    assert {name: hcl.strip() for name, hcl in pairs} == {
        name: hcl.strip() for name, hcl in written.items()
    }


def test_the_policies_are_printed_without_an_address(run):
    ran = run("vault", "bootstrap", "--print-hcl", "--environments", "staging")
    assert ran.code == 0
    assert "# Policy secureml-staging-read\n" in ran.out
    assert "production" not in ran.out


@pytest.fixture
def changed(run: Run, here: Vault) -> Vault:
    """A policy that an operator changed since it was written."""
    run("vault", "bootstrap")
    here.client().sys.create_or_update_policy("secureml-staging-read", TOO_WIDE)
    return here


def test_bootstrap_asks_before_it_changes_a_policy(installed, changed):
    ran = installed("vault", "bootstrap", data=b"y\n")
    assert ran.code == 0, ran.err
    assert '-path "*" {\n' in ran.err
    assert "Make 1 change to what is there? [y/N]" in ran.err
    assert "changed  policy secureml-staging-read\n" in ran.out
    assert policies(changed)["secureml-staging-read"] != TOO_WIDE


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b""], ids=["no", "nothing", "nobody there"])
def test_bootstrap_changes_nothing_without_a_yes(installed, changed, answer):
    changed.client().sys.delete_policy("secureml-keys-admin")
    before = everything(changed)
    ran = installed("vault", "bootstrap", data=answer)
    assert ran.code == 1
    assert ran.err.endswith("error: nothing was changed; --yes changes without asking\n")
    assert ran.out == ""
    assert everything(changed) == before


def test_bootstrap_with_yes_does_not_ask(installed, changed):
    ran = installed("vault", "bootstrap", "--yes")
    assert ran.code == 0, ran.err
    assert "changed  policy secureml-staging-read\n" in ran.out


def test_a_plan_of_bootstrap_does_not_ask(installed, changed):
    ran = installed("vault", "bootstrap", "--plan")
    assert ran.code == 2
    assert ran.out.endswith("1 change to make; nothing was changed.\n")
    assert policies(changed)["secureml-staging-read"] == TOO_WIDE


def test_bootstrap_takes_another_prefix_and_another_mount_of_approle(run, here):
    ran = run(
        *("vault", "bootstrap", "--environments", "staging"),
        *("--prefix", "payments", "--approle-mount", "machines"),
    )
    assert ran.code == 0, ran.err
    client = here.client()
    assert client.read("auth/machines/role/payments-staging")["data"]["token_policies"] == [
        "payments-staging-read"
    ]
    assert policies(here) == {}


@pytest.mark.namespaces
def test_audit_in_a_namespace_can_not_be_checked_and_that_is_said(run, here):
    ran = run("vault", "bootstrap")
    assert "whether an audit device is on could not be checked: Vault lists them" in ran.err


def test_a_server_without_audit_is_warned_of_with_both_remedies(run, private_bao, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_URL", private_bao.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", private_bao.root_token.reveal())
    ran = run("vault", "bootstrap", "--plan")
    assert ran.code == 2
    assert "warning: no audit device is on" in ran.err
    assert "vault audit enable file file_path=" in ran.err
    assert 'audit "file"' in ran.err
    private_bao.seal()
    sealed = run("vault", "bootstrap")
    assert (sealed.code, sealed.out) == (5, "")
    assert "is sealed" in sealed.err


def test_bootstrap_refuses_another_engine_at_the_mount(run, here):
    here.client().sys.enable_secrets_engine("transit", path="keys")
    before = everything(here)
    ran = run("vault", "bootstrap")
    assert (ran.code, ran.out) == (2, "")
    assert "at vault_mount 'keys' there is a secrets engine of type transit" in ran.err
    assert everything(here) == before


def test_bootstrap_with_a_token_without_rights_exits_with_4(run, here, monkeypatch):
    token = here.policy_token('path "auth/token/lookup-self" { capabilities = ["read"] }')
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", token)
    ran = run("vault", "bootstrap")
    assert ran.code == 4
    assert "Vault denies 'read' on 'sys/mounts'" in ran.err
    assert token not in ran.err


def test_bootstrap_exits_with_5_if_no_server_answers(run, here, monkeypatch, unused_port):
    monkeypatch.setenv("SECUREML_VAULT_URL", f"http://127.0.0.1:{unused_port}")
    assert run("vault", "bootstrap", "--plan").code == 5


def test_bootstrap_without_an_address_exits_with_2(run):
    ran = run("vault", "bootstrap")
    assert ran.code == 2
    assert "vault_url is not set" in ran.err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--environments", "stagin", "did you mean [staging]?"),
        ("--environments", "staging,,production", "'' is no environment"),
        ("--environments", "a/b", "'a/b' is no environment"),
        ("--environments", "default", "'default' is no environment"),
        ("--prefix", "a*", "--prefix must be"),
        ("--approle-mount", "a/../b", "--approle-mount must not hold"),
        ("--approle-mount", "a/+/b", "the mount of AppRole can't be part of a policy"),
    ],
)
def test_bootstrap_refuses_a_name_that_can_not_be_used(run, here, option, value, message):
    before = everything(here)
    ran = run("vault", "bootstrap", option, value)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert everything(here) == before


@pytest.mark.parametrize("path", ["a/+/b", "a*", 'a" { capabilities = ["root"] } path "b', "{{x}}"])
def test_a_path_can_not_widen_a_policy(run, here, monkeypatch, path):
    monkeypatch.setenv("SECUREML_VAULT_PATH", path)
    ran = run("vault", "bootstrap", "--print-hcl")
    assert (ran.code, ran.out) == (2, "")
    assert "vault_path can't be part of a policy" in ran.err


def test_a_second_operator_changes_nothing_if_one_right_is_missing(run, here, monkeypatch):
    hcl = run("vault", "bootstrap", "--print-hcl").out.partition("# Policy secureml-bootstrap\n")[2]
    less = hcl.replace(
        'secureml-production" {\n  capabilities = ["create", "read", "update"]',
        'secureml-production" {\n  capabilities = ["read", "update"]',
    ).replace('secureml-bootstrap" {\n  capabilities = ["read"]', 'x" {\n  capabilities = ["read"]')
    assert less != hcl
    less += 'path "sys/policies/acl/secureml-bootstrap" { capabilities = ["read", "update"] }'
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", here.policy_token(less))
    before = everything(here)
    ran = run("vault", "bootstrap")
    assert (ran.code, ran.out) == (4, "")
    assert "lack 'create' on 'auth/approle/role/secureml-production' (SML-310)\n" in ran.err
    assert everything(here) == before


def test_bootstrap_removes_transit_only_on_request(run, here):
    assert run("vault", "bootstrap", "--transit").code == 0
    kept = run("vault", "bootstrap", "--yes")
    assert "There was nothing to do" in kept.out
    assert "go on to allow the keys that the transit engine transit/ wraps" in kept.err
    assert 'path "transit/decrypt/secureml.staging.*"' in policies(here)["secureml-staging-read"]
    assert run("vault", "bootstrap", "--no-transit", "--yes").code == 0
    assert "decrypt" not in policies(here)["secureml-staging-read"]


def test_bootstrap_takes_the_options_of_roles(run, here):
    ran = run(
        *("vault", "bootstrap", "--environments", "staging", "--secret-id-ttl", "7d"),
        *("--secret-id-uses", "1", "--bound-cidrs", "10.0.0.0/8, 127.0.0.1"),
        *("--token-type", "service", "--token-period", "2h"),
    )
    assert ran.code == 0, ran.err
    role = here.client().read("auth/approle/role/secureml-staging")["data"]
    assert (role["secret_id_ttl"], role["secret_id_num_uses"]) == (7 * 86400, 1)
    assert role["token_bound_cidrs"] == ["10.0.0.0/8", "127.0.0.1"]
    assert (role["token_type"], role["token_period"]) == ("service", 7200)


@pytest.mark.parametrize(
    "options",
    [
        ("--secret-id-ttl", "7"),
        ("--bound-cidrs", "10.0.0.0/33"),
        ("--token-type", "batch", "--token-period", "1h"),
    ],
)
def test_bootstrap_refuses_options_of_roles_that_can_not_be(run, here, options):
    ran = run("vault", "bootstrap", *options)
    assert (ran.code, ran.out) == (2, "")
    assert policies(here) == {}


def test_each_change_of_bootstrap_is_an_audit_event(run, here, monkeypatch, tmp_path):
    monkeypatch.setenv("SECUREML_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
    ran = run("vault", "bootstrap", "--environments", "staging")
    events = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    made = [line.split("  ")[1] for line in ran.out.splitlines() if line.startswith("created  ")]
    assert [(event["name"], event["outcome"]) for event in events] == [
        (title, outcome) for title in made for outcome in ("attempt", "ok")
    ]
    assert {event["operation"] for event in events} == {"bootstrap"}
