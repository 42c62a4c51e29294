"""``--test-connection``: each failure by its own name, on real servers that really fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hvac
import pytest

from helpers.commands import Ran, Run
from helpers.vault import Vault

DATA = 'path "secret/data/secureml/*" { capabilities = ["create", "read", "update"] }\n'
METADATA = (
    'path "secret/metadata/secureml/*" { capabilities = ["create", "patch", "read", "update"] }\n'
)
NOTHING = 'path "elsewhere/*" { capabilities = ["read"] }\n'


@pytest.fixture
def tried(run: Run, tmp_path: Path) -> Callable[..., Ran]:
    """Run the test; where it fails, nothing may have been saved."""

    def tried(url: str, token: str, *more: str) -> Ran:
        ran = run(
            *("keys", "configure-vault", "--vault-url", url, "--vault-token", token),
            *("--test-connection", *more),
        )
        assert token not in ran.out + ran.err
        if ran.code:
            assert not (tmp_path / "settings.local.toml").exists()
            assert not (tmp_path / ".secureml").exists()
            assert ran.err.endswith("error: the connection test failed; nothing was saved\n")
        return ran

    return tried


@pytest.fixture
def tried_here(tried: Callable[..., Ran], vault: Vault) -> Callable[..., Ran]:
    """Run the test in a namespace of the test's own."""
    return lambda token, *more: tried(vault.url, token, *vault.options, *more)


def failures(ran) -> list[str]:
    lines = ran.err.splitlines()
    return [line.split(None, 1)[1] for line in lines if line.startswith("failed ")]


def test_the_connection_test_passes_with_the_documented_rights(tried_here, vault):
    token = vault.policy_token(DATA + METADATA, no_default_policy=False)
    ran = tried_here(token)
    assert ran.code == 0
    assert [line.split(":")[0] for line in ran.out.splitlines()[:6]] == [
        "ok       reachable",
        "ok       seal state",
        "ok       token",
        "ok       mount",
        "ok       read",
        "ok       write",
    ]
    assert "more hours" in ran.out


def test_the_connection_test_leaves_no_secret(tried_here, vault):
    assert tried_here(vault.token).code == 0
    with pytest.raises(hvac.exceptions.InvalidPath):
        vault.client().secrets.kv.v2.list_secrets("")


def test_the_connection_test_alone_uses_the_settings_in_force(run, vault, monkeypatch, tmp_path):
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    ran = run("keys", "configure-vault", "--test-connection")
    assert ran.code == 0
    assert list(tmp_path.iterdir()) == []


def test_the_connection_test_without_an_address_names_the_option(run):
    ran = run("keys", "configure-vault", "--test-connection")
    assert ran.code == 2
    assert "vault_url is not set; give --vault-url" in ran.err


def test_the_connection_test_without_a_token_says_so(run, vault):
    ran = run("keys", "configure-vault", "--vault-url", vault.url, "--test-connection")
    assert ran.code == 4
    assert failures(ran)[0].startswith("token: no Vault token is set")


def test_the_connection_test_tells_that_no_server_answers(tried, unused_port):
    ran = tried(f"http://127.0.0.1:{unused_port}", "a-token")
    assert ran.code == 5
    (failure,) = failures(ran)
    assert failure.startswith("reachable: Vault at ")
    assert "start Vault, or correct --vault-url" in failure


def test_the_connection_test_tells_that_the_server_was_stopped(tried, private_bao):
    token = private_bao.root_token.reveal()
    private_bao.stop()
    assert tried(private_bao.url, token).code == 5


def test_the_connection_test_tells_that_the_server_is_sealed(tried, private_bao):
    private_bao.seal()
    ran = tried(private_bao.url, private_bao.root_token.reveal())
    assert ran.code == 5
    assert ran.out.startswith("ok       reachable: ")
    (failure,) = failures(ran)
    assert failure.startswith("seal state: Vault at ")
    assert "unseal" in failure


def test_the_connection_test_tells_an_answer_that_is_not_vaults(tried, bao_tls):
    ran = tried(bao_tls.server.url.replace("https://", "http://"), "a-token")
    assert ran.code == 5
    assert failures(ran)[0].startswith("reachable: what answers at ")


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden"])
def test_the_connection_test_tells_json_that_is_not_vaults(tried, faulty, status):
    ran = tried(faulty(b'{"status": "ok"}', status=status).url, "a-token")
    assert ran.code == 5
    assert failures(ran)[0].startswith("reachable: what answers at ")


def test_the_connection_test_passes_if_one_address_serves(run, vault, unused_port):
    urls = f"http://127.0.0.1:{unused_port},{vault.url}"
    ran = run(
        *("keys", "configure-vault", "--vault-url", urls, "--vault-token", vault.token),
        *("--test-connection", *vault.options),
    )
    assert ran.code == 0, ran.err
    assert f"ok       reachable: {urls}\n" in ran.out


def test_the_connection_test_tells_that_a_certificate_is_not_trusted(tried, bao_tls):
    token = bao_tls.server.root_token.reveal()
    ran = tried(bao_tls.server.url, token)
    assert ran.code == 4
    assert failures(ran)[0].startswith("TLS: the TLS certificate of ")
    assert "--vault-ca-cert" in ran.err
    assert tried(bao_tls.server.url, token, "--vault-ca-cert", bao_tls.ca).code == 0


def test_the_connection_test_tells_a_wrong_token(tried_here):
    ran = tried_here("not-a-token-of-this-server")
    assert ran.code == 4
    (failure,) = failures(ran)
    assert failure.startswith("token: Vault does not accept the token")


def test_the_connection_test_tells_a_revoked_token(tried_here, vault):
    token = vault.policy_token(DATA)
    vault.client().auth.token.revoke(token)
    assert failures(tried_here(token))[0].startswith("token: ")


@pytest.mark.namespaces
def test_the_connection_test_tells_a_missing_namespace(tried, vault):
    ran = tried(vault.url, vault.token, "--vault-namespace", "no/such")
    assert ran.code == 1
    assert failures(ran)[0].startswith("namespace: Vault has no namespace 'no/such'")


def test_the_connection_test_tells_that_the_token_may_not_read(tried_here, vault):
    policy = 'path "secret/data/secureml/*" { capabilities = ["create", "update"] }\n' + METADATA
    ran = tried_here(vault.policy_token(policy, no_default_policy=False))
    assert ran.code == 4
    (failure,) = failures(ran)
    assert failure.startswith("read: ")
    assert 'allow "read" on "secret/data/secureml/*"' in failure


@pytest.mark.parametrize(
    ("policy", "lacking"),
    [
        ('path "secret/data/secureml/*" { capabilities = ["read"] }\n' + METADATA, "secret/data"),
        (DATA, "secret/metadata"),
    ],
)
def test_the_connection_test_tells_that_the_token_may_not_write(tried_here, vault, policy, lacking):
    ran = tried_here(vault.policy_token(policy, no_default_policy=False))
    assert ran.code == 4
    (failure,) = failures(ran)
    assert failure.startswith("write: the token's policies lack ")
    assert f'allow it on "{lacking}/secureml/*"' in failure


def test_the_connection_test_tells_that_the_token_may_neither_read_nor_write(tried_here, vault):
    ran = tried_here(vault.policy_token(NOTHING, no_default_policy=False))
    assert ran.code == 4
    assert [failure.split(":")[0] for failure in failures(ran)] == ["read", "write"]


def test_the_connection_test_tests_the_path_of_the_environment(tried_here, vault):
    policy = (DATA + METADATA).replace("secureml/*", "secureml/staging/*")
    token = vault.policy_token(policy, no_default_policy=False)
    assert tried_here(token, "--env", "development").code == 4


def test_the_connection_test_takes_a_token_that_may_not_ask_about_itself(tried_here, vault):
    ran = tried_here(vault.policy_token(DATA + METADATA))
    assert ran.code == 0
    assert "ok       token: accepted; it may not look itself up" in ran.out
    assert "unknown  write: the token may not ask what it may do" in ran.err


def test_the_connection_test_tests_the_rights_that_generate_key_needs(tried_here, run, vault):
    assert tried_here(vault.policy_token(DATA + METADATA, no_default_policy=False)).code == 0
    assert run("keys", "generate-key").code == 0
    assert run("keys", "rotate").code == 0


@pytest.mark.parametrize("may_do_all", [True, False])
def test_the_connection_test_tells_a_missing_mount(tried_here, vault, may_do_all):
    policy = (DATA + METADATA).replace("secret/", "nothing/")
    token = vault.token if may_do_all else vault.policy_token(policy, no_default_policy=False)
    ran = tried_here(token, "--vault-mount", "nothing")
    assert ran.code == 2
    (failure,) = failures(ran)
    assert failure.startswith("mount: vault_mount 'nothing' names no KV version 2 secrets engine")


@pytest.mark.parametrize(
    ("options", "found"),
    [({"version": "1"}, "kv version 1"), (None, "transit version 1")],
)
def test_the_connection_test_tells_a_mount_of_another_kind(tried_here, vault, options, found):
    kind = "kv" if options else "transit"
    vault.client().sys.enable_secrets_engine(kind, path="other", options=options)
    ran = tried_here(vault.token, "--vault-mount", "other")
    assert ran.code == 2
    (failure,) = failures(ran)
    assert failure.startswith("mount: vault_mount 'other' names no KV version 2 secrets engine")
    assert found in failure


def test_the_connection_test_tells_a_folder_given_as_the_mount(tried_here, vault):
    ran = tried_here(vault.token, "--vault-mount", "secret/team")
    assert ran.code == 2
    assert failures(ran)[0].startswith("mount: vault_mount 'secret/team' names no KV version 2")


def test_the_connection_test_uses_a_named_token_file_and_not_the_variable(
    run, vault, tmp_path, monkeypatch
):
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    (tmp_path / "token").write_text("not-a-token-of-this-server")
    ran = run(
        *("keys", "configure-vault", "--vault-url", vault.url, "--test-connection"),
        *(*vault.options, "--vault-token-file", "token"),
    )
    assert ran.code == 4
    assert failures(ran)[0].startswith("token: ")
