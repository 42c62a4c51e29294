"""``secureml doctor``: each state of each thing that it checks, and what it says to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import Run
from helpers.vault import Vault
from secureml.cli.checks import all_checks, project
from secureml.cli.checks.vault import vault_checks
from secureml.key_management import KeyManager
from secureml.settings import Layers, load_settings
from secureml.vault.devserver.server import DevServer

NOW = datetime.now(UTC)
DEPENDENT = ["login", "token", "mount", "policy", "key", "rotation"]


@pytest.fixture
def here(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """The variables that lead to the test's own namespace, which has a key in staging."""
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    monkeypatch.setenv("SECUREML_ENV", "staging")
    with KeyManager() as manager:
        manager.generate_key("master_key")
    return vault


@pytest.fixture
def doctor(run: Run) -> Callable[..., tuple[int, dict[str, list[dict[str, object]]]]]:
    """Run the command; give its exit code, and the results by the name of the check."""

    def doctor(*arguments: object) -> tuple[int, dict[str, list[dict[str, object]]]]:
        ran = run("doctor", "--json", *arguments)
        found = json.loads(ran.out)
        assert found["exit_code"] == ran.code
        by_name: dict[str, list[dict[str, object]]] = {}
        for check in found["checks"]:
            assert (check["state"] in ("problem", "warning")) == bool(check["remedy"]), check
            by_name.setdefault(check["name"], []).append(check)
        return ran.code, by_name

    return doctor


def states(found, *names):
    return [check["state"] for name in names for check in found[name]]


def test_all_is_well_where_all_is_well(run, here, tmp_path):
    Path("settings.toml").write_text("[staging]\ncache_ttl = 1\n")
    Path("settings.toml").chmod(0o644)
    ran = run("doctor")
    assert ran.code == 0, ran.out
    assert {line.split()[0] for line in ran.out.splitlines()} == {"ok"}
    for line in (
        "ok       environment: staging, by SECUREML_ENV",
        f"ok       files: {tmp_path}/settings.toml, mode 0644, of ",
        f"ok       Vault: {here.url} answers, version ",
        f"ok       seal: {here.url} is unsealed, active",
        f"ok       clock: this machine's and that of {here.url} agree",
        "ok       login: by token, with the policies ",
        "ok       mount: secret/ is kv version 2",
        "ok       policy: allowed on secret/secureml/staging/master_key: read, history, write",
        "ok       key: vault secret/secureml/staging/master_key version 1, 32 bytes, 0 days old",
        "ok       rotation: no period is set",
    ):
        assert f"\n{line}" in ran.out
    assert here.token not in ran.out + ran.err
    assert ran.err == ""


def test_without_settings_the_absent_key_is_the_only_problem(doctor):
    code, found = doctor()
    assert code == 3
    assert [name for name in found if set(states(found, name)) - {"ok"}] == ["key", "rotation"]
    assert states(found, "key", "rotation") == ["problem", "unknown"]
    assert "SECUREML_MASTER_KEY" in found["key"][0]["remedy"]


def test_a_key_in_a_variable_needs_no_vault_and_a_default_is_pointed_out(doctor, monkeypatch):
    monkeypatch.setenv("SECUREML_ENV", "development")
    monkeypatch.setenv("SECUREML_USE_DEFAULT_FALLBACK", "true")
    code, found = doctor()
    assert (code, states(found, "key")) == (1, ["warning", "ok"])
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    code, found = doctor()
    assert (code, states(found, "key")) == (0, ["ok"])
    assert "SECUREML_MASTER_KEY" in found["key"][0]["text"]


def test_a_production_that_can_read_no_key_at_all_is_told(doctor, monkeypatch):
    monkeypatch.setenv("SECUREML_ENV", "production")
    code, found = doctor()
    assert code == 3
    assert states(found, "Vault") == ["problem"]
    assert "no variable may stand in" in found["Vault"][0]["text"]


def test_every_problem_of_the_settings_is_a_line_and_the_rest_is_unknown(doctor):
    Path("settings.toml").write_text('[default]\ncache_ttl = "hunter22"\nvault_urk = "hunter22"\n')
    code, found = doctor("hidden.csv")
    assert code == 2
    assert states(found, "settings") == ["problem", "problem"]
    assert states(found, "Vault", "key", "hidden.csv") == ["unknown"] * 3
    assert "hunter22" not in json.dumps(found)


def test_hooks_of_dynaconf_are_told(doctor):
    Path("settings.toml").write_text("[default]\n")
    Path("dynaconf_hooks.py").write_text("raise SystemExit(99)")
    code, found = doctor()
    assert code == 2
    assert "dynaconf_hooks.py lies beside it" in found["settings"][0]["text"]
    assert "move one of them" in found["settings"][0]["remedy"]


def test_variables_of_dynaconf_and_misspelt_ones_are_told(doctor, monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    monkeypatch.setenv("ENV_FOR_DYNACONF", "hunter22")
    monkeypatch.setenv("SECUREML_VAULT_ULR", "hunter22")
    code, found = doctor()
    assert code == 1
    assert "ENV_FOR_DYNACONF" in found["variables"][0]["text"]
    assert found["settings"][0]["remedy"] == "did you mean SECUREML_VAULT_URL?"
    assert "hunter22" not in json.dumps(found)


def test_a_local_file_in_production_is_told(doctor, here, monkeypatch):
    monkeypatch.setenv("SECUREML_ENV", "production")
    Path("settings.toml").write_text("[default]\n")
    Path("settings.local.toml").write_text("[default]\n")
    _, found = doctor()
    assert states(found, "settings") == ["warning"]
    assert "settings.local.toml is not read in production" in found["settings"][0]["text"]


@pytest.mark.parametrize(
    ("mode", "folder", "remedy"),
    [(0o666, 0o755, "chmod go-w "), (0o644, 0o777, "chmod o-w "), (0o644, 0o755, "chmod 600 ")],
)
def test_a_settings_file_that_others_can_change_or_read_is_told(
    doctor, tmp_path, monkeypatch, mode, folder, remedy
):
    monkeypatch.setenv("SECUREML_ENV", "development")
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    path = place / "settings.local.toml"
    path.write_text('[default]\nvault_token = "hunter22"\n')
    path.chmod(mode)
    place.chmod(folder)
    _, found = doctor()
    place.chmod(0o755)
    (check,) = found["files"]
    assert check["state"] == "warning"
    assert check["remedy"].startswith(remedy)
    assert "hunter22" not in json.dumps(found)


def test_an_audit_file_that_can_not_be_written_is_a_problem_if_it_is_required(
    doctor, here, monkeypatch, tmp_path
):
    monkeypatch.setenv("SECUREML_AUDIT_LOG", str(tmp_path / "events"))
    assert states(doctor()[1], "audit") == ["ok"]
    monkeypatch.setenv("SECUREML_AUDIT_LOG", str(tmp_path))
    assert states(doctor()[1], "audit") == ["warning"]
    monkeypatch.setenv("SECUREML_AUDIT_REQUIRED", "true")
    code, found = doctor()
    assert code == 1
    assert states(found, "audit") == ["problem"]


def test_an_extra_that_is_too_old_is_a_problem(monkeypatch):
    monkeypatch.setattr(project, "_version", lambda name: {"hvac": "1.9"}.get(name, "9999.0"))
    checks = [each for each in all_checks(None, [], {}, NOW) if each.name == "extras"]
    assert [each.state for each in checks] == ["problem", "ok"]
    assert checks[0].text.startswith("hvac 1.9 is older than ")
    assert checks[0].remedy == "pip install -U 'secureml[vault]'"


def test_it_works_without_any_extra(run_python, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_URL", "http://127.0.0.1:1")
    script = """
import sys
for name in ("hvac", "requests", "urllib3", "polars", "duckdb"):
    sys.modules[name] = None
from secureml.cli import main
main(["doctor"])
"""
    done = run_python("-c", script)
    assert "problem  Vault: Reading keys from Vault needs an extra" in done.stdout, done.stderr
    assert done.returncode == 1


def test_what_depends_on_a_vault_that_is_down_is_unknown(doctor, monkeypatch, unused_port):
    monkeypatch.setenv("SECUREML_VAULT_URL", f"http://127.0.0.1:{unused_port}")
    code, found = doctor("hidden.csv")
    assert code == 5
    assert states(found, "Vault") == ["problem"]
    assert states(found, *DEPENDENT) == ["unknown"] * 6
    assert found["Vault"][0]["remedy"] == "start Vault, or correct vault_url"


def test_a_sealed_vault_is_a_problem_and_one_address_of_two_a_warning(
    doctor, private_bao, monkeypatch, unused_port
):
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", private_bao.root_token.reveal())
    monkeypatch.setenv("SECUREML_VAULT_URL", private_bao.url)
    private_bao.seal()
    code, found = doctor()
    assert code == 5
    assert states(found, "Vault", "seal", *DEPENDENT) == ["ok", "problem", *["unknown"] * 6]
    assert found["seal"][0]["remedy"] == "have an operator unseal it"
    private_bao.unseal()
    monkeypatch.setenv("SECUREML_VAULT_URL", f"{private_bao.url},http://127.0.0.1:{unused_port}")
    code, found = doctor()
    assert (code, states(found, "Vault")) == (3, ["ok", "warning"])


@pytest.mark.parametrize("how", ["wrong", "none", "revoked"])
def test_credentials_that_are_not_accepted_are_a_problem(doctor, here, monkeypatch, how):
    if how == "none":
        monkeypatch.delenv("SECUREML_VAULT_TOKEN")
    else:
        token = here.policy_token('path "a" { capabilities = ["read"] }')
        if how == "revoked":
            here.client().auth.token.revoke(token)
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", token if how == "revoked" else "hvs.wrong")
    code, found = doctor()
    assert code == 4
    assert states(found, *DEPENDENT) == ["problem", *["unknown"] * 5]
    assert "SECUREML_VAULT_TOKEN" in found["login"][0]["remedy"] or how != "none"


def test_a_token_that_nothing_renews_and_that_ends_soon_is_a_warning(doctor, here, monkeypatch):
    token = here.policy_token(
        'path "*" { capabilities = ["read", "list", "update"] }', ttl="1h", renewable=False
    )
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", token)
    code, found = doctor()
    assert (code, states(found, "token")) == (1, ["warning"])
    assert found["token"][0]["text"].startswith("the token ends in ")


def test_a_token_without_a_policy_for_the_key_is_told_which(doctor, here, monkeypatch):
    monkeypatch.setenv(
        "SECUREML_VAULT_TOKEN",
        here.policy_token(
            'path "auth/token/lookup-self" { capabilities = ["read"] }\n'
            'path "sys/capabilities-self" { capabilities = ["update"] }'
        ),
    )
    code, found = doctor()
    assert code == 4
    assert states(found, "login", "policy", "key", "rotation") == [
        *("ok", "problem", "unknown", "unknown")
    ]
    wanted = 'allow "read" on "secret/data/secureml/staging/master_key"'
    assert found["policy"][0]["remedy"].startswith(wanted)


def test_a_token_that_may_not_look_itself_up_is_no_problem_if_it_reads_the_key(
    doctor, here, monkeypatch
):
    client = here.client()
    policy = (
        'path "secret/data/secureml/staging/*" { capabilities = ["read"] }\n'
        'path "sys/capabilities-self" { capabilities = ["update"] }'
    )
    client.sys.create_or_update_policy("reads", policy)
    made = client.auth.token.create(policies=["reads"], no_default_policy=True)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", made["auth"]["client_token"])
    code, found = doctor()
    assert states(found, "login", "token", "policy", "key") == ["ok", "unknown", "ok", "ok"]
    assert "may not look itself up" in found["login"][0]["text"]
    assert code == 0


def test_what_is_no_vault_is_told_apart_from_one_that_is_down(doctor, faulty, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_URL", faulty(b"<html>hello</html>").url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "hvs.made-up")
    code, found = doctor()
    assert code == 5
    assert states(found, "Vault", *DEPENDENT) == ["problem", *["unknown"] * 6]
    assert "vault_url names Vault itself" in found["Vault"][0]["remedy"]


def test_a_server_that_tells_no_time_leaves_the_clock_unknown(faulty):
    health = b'{"initialized": true, "sealed": true, "standby": false, "version": "2.0.0"}'
    settings = load_settings(Layers(arguments={"vault_url": faulty(health).url}))
    (clock,) = (each for each in vault_checks(settings, NOW) if each.name == "clock")
    assert (clock.state, "tells no time" in clock.text) == ("unknown", True)


def test_a_clock_that_is_wrong_is_a_warning_that_tells_by_how_much(here):
    settings = load_settings(Layers())
    for shift, said in ((3600, "1:00:00 ahead of"), (-90, "0:01:30 behind")):
        now = datetime.now(UTC) + timedelta(seconds=shift)
        (clock,) = (each for each in vault_checks(settings, now) if each.name == "clock")
        assert clock.state == "warning"
        # A date in a header is a whole second.
        assert said in clock.text or said[:-3].rsplit(":", 1)[0] in clock.text
        assert "time server" in clock.remedy


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server whose certificate ends in ten days."""
    import trustme

    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", not_after=NOW + timedelta(days=10))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "chain.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    server = DevServer(folder / "bao", certificate=(folder / "chain.pem", folder / "key.pem"))
    server.start()
    yield server, folder / "ca.pem"
    server.kill()


def test_a_certificate_is_followed_to_its_end(ending, monkeypatch):
    server, authority = ending
    settings = load_settings(
        Layers(arguments={"vault_url": server.url, "vault_ca_cert": str(authority)})
    )
    found = {}
    for days in (-60, 0, 20):
        checks = vault_checks(settings, NOW + timedelta(days=days))
        (found[days],) = (each for each in checks if each.name == "certificate")
    day = f"{NOW + timedelta(days=10):%Y-%m-%d}"
    assert [(each.state, each.exit_code) for each in found.values()] == [
        *(("ok", 0), ("warning", 1), ("problem", 4))
    ]
    assert all(day in each.text for each in found.values())


def test_a_certificate_that_nobody_trusts_is_a_problem_and_its_end_is_told_all_the_same(
    doctor, ending, monkeypatch
):
    monkeypatch.setenv("SECUREML_VAULT_URL", ending[0].url)
    code, found = doctor()
    assert code == 4
    assert states(found, "Vault", "certificate") == ["problem", "warning"]
    assert "vault_ca_cert" in found["Vault"][0]["remedy"]


def test_a_certificate_behind_a_proxy_is_not_looked_for(ending, unused_port):
    server, authority = ending
    arguments = {"vault_url": server.url, "vault_ca_cert": str(authority)}
    arguments["vault_proxy"] = f"http://127.0.0.1:{unused_port}"
    checks = vault_checks(load_settings(Layers(arguments=arguments)), NOW)
    (certificate,) = (each for each in checks if each.name == "certificate")
    assert (certificate.state, "proxy" in certificate.text) == ("unknown", True)


def test_an_address_without_tls_shows_no_certificate(doctor, here, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_URL", here.url.replace("http://", "https://"))
    code, found = doctor()
    assert states(found, "Vault", "certificate") == ["problem", "unknown"]
    assert "shows none" in found["certificate"][0]["text"]
    assert code == 5


def test_the_end_of_a_client_certificate_is_told(doctor, here, monkeypatch, tmp_path):
    import trustme

    issued = trustme.CA().issue_cert("me@example.com", not_after=NOW + timedelta(days=3))
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    (tmp_path / "client.pem").chmod(0o600)
    monkeypatch.setenv("SECUREML_VAULT_CLIENT_CERT", str(tmp_path / "client.pem"))
    _, found = doctor()
    assert states(found, "certificate") == ["warning"]
    assert "vault_client_cert" in found["certificate"][0]["text"]


@pytest.mark.parametrize(
    ("change", "state", "code", "said"),
    [
        ("absent", "problem", 3, "there is no secret 'master_key'"),
        ("deleted", "problem", 3, "deleted"),
        ("short", "problem", 1, "16 bytes"),
    ],
)
def test_a_key_that_can_not_be_used_is_a_problem(doctor, here, change, state, code, said):
    kv = here.client().secrets.kv.v2
    path = "secureml/staging/master_key"
    if change == "absent":
        kv.delete_metadata_and_all_versions(path, mount_point="secret")
    elif change == "deleted":
        kv.delete_latest_version_of_secret(path, mount_point="secret")
    else:
        kv.create_or_update_secret(path, {"value": "ab" * 16}, mount_point="secret")
    ended, found = doctor()
    assert (ended, states(found, "key")) == (code, [state])
    assert said in found["key"][0]["text"]


def test_a_key_that_is_due_for_rotation_is_a_warning(here):
    with KeyManager() as manager:
        manager.set_rotation_period("master_key", timedelta(days=30))
    for days, state in ((0, "ok"), (31, "warning")):
        now = datetime.now(UTC) + timedelta(days=days)
        checks = all_checks(None, [], os.environ, now)
        (check,) = (each for each in checks if each.name == "rotation")
        assert check.state == state
    assert check.remedy == "secureml keys rotate --all-due"


def test_manifests_are_checked_with_the_keys_that_they_need(doctor, run, here):
    Path("plain.csv").write_text("ssn\n123-45-6789\n")
    assert run("anonymize", "plain.csv", "--output", "hidden.csv", "--columns", "ssn").code == 0
    code, found = doctor("hidden.csv", "hidden.csv.manifest.json", "plain.csv")
    assert states(found, "hidden.csv", "hidden.csv.manifest.json") == ["ok", "ok"]
    assert (code, states(found, "plain.csv")) == (1, ["problem"])
    with KeyManager() as manager:
        first = manager.key_info()
        manager.rotate_key()
        manager.destroy_key_version("master_key", 1, confirm=first.fingerprint)
    code, found = doctor("hidden.csv")
    assert code == 3
    assert found["hidden.csv"][0]["text"].startswith(
        "needs the key 'master_key' version 1, which is destroyed"
    )
    code, found = doctor("hidden.csv", "--env", "development")
    assert states(found, "hidden.csv") == ["unknown"]


def test_a_key_that_vault_has_not_although_it_was_seen_is_told(doctor, here):
    with KeyManager() as manager:
        manager.get_key()
        manager.rotate_key()
        manager.get_key()
    path = "secureml/staging/master_key"
    kv = here.client().secrets.kv.v2
    kv.delete_metadata_and_all_versions(path, mount_point="secret")
    kv.create_or_update_secret(path, {"value": "ab" * 32}, mount_point="secret")
    _, found = doctor()
    assert "accept-rollback" in found["rollback"][0]["remedy"]


def test_it_changes_nothing_in_vault(doctor, here):
    before = here.client().list("secret/metadata/secureml/")["data"]
    mounts = here.client().read("sys/mounts")["data"]
    assert doctor()[0] == 0
    assert here.client().list("secret/metadata/secureml/")["data"] == before
    assert here.client().read("sys/mounts")["data"] == mounts
