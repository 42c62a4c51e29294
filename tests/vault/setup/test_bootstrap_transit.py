"""Setting up a real Vault whose transit engine wraps keys, and what the policies allow then."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from helpers.vault import Vault
from secureml.errors import AccessDeniedError, ConfigurationError, SecretError
from secureml.key_management import KeyManager
from secureml.keys import Envelope
from secureml.settings import Settings
from secureml.vault.client.session import VaultSession
from secureml.vault.setup.bootstrap import Bootstrap
from secureml.vault.setup.changes import SetupPlan
from secureml.vault.setup.policies import KeyLayout, bootstrap_policy

LAYOUT = KeyLayout(
    mount="keys", path="secureml", environments=("staging", "production"), transit="wrapping"
)
TRANSIT_KEY = "secureml.staging.k"


def settings_of(vault, token: str | None = None, environment: str | None = None) -> Settings:
    return Settings(
        environment=environment,
        vault_url=vault.url,
        vault_token=vault.token if token is None else token,
        vault_namespace=vault.namespace,
        vault_mount="keys",
        vault_transit_mount="wrapping",
        key_backend="transit",
        use_env_fallback=False,
    )


@pytest.fixture
def work(vault: Vault) -> Iterator[Callable[..., Bootstrap]]:
    sessions = []

    def prepared(layout: KeyLayout = LAYOUT, token: str | None = None) -> Bootstrap:
        sessions.append(VaultSession(settings_of(vault, token)))
        return Bootstrap(sessions[-1], layout)

    yield prepared
    for session in sessions:
        session.close()


def carry_out(work: Bootstrap) -> SetupPlan:
    plan = work.plan()
    for change in plan.changes:
        work.apply(change)
    return plan


def token_with(vault, *policies: str) -> str:
    answer = vault.client().auth.token.create(
        policies=list(policies), no_parent=True, no_default_policy=True
    )
    token: str = answer["auth"]["client_token"]
    return token


@contextlib.contextmanager
def manager(vault, token: str | None, environment: str = "staging") -> Iterator[KeyManager]:
    with KeyManager(settings=settings_of(vault, token, environment)) as opened:
        yield opened


def status_of(vault, token: str, method: str, path: str, body: object) -> int:
    adapter = vault.client(token).adapter
    response = adapter.session.request(
        method.upper(),
        f"{adapter.base_uri}/v1/{path}",
        json=body,
        headers={"X-Vault-Token": token, "X-Vault-Namespace": adapter.namespace},
    )
    status: int = response.status_code
    return status


def test_the_transit_engine_is_mounted_once(work, vault):
    titles = [change.title for change in carry_out(work()).changes]
    assert titles[:3] == [
        "secrets engine keys/",
        "configuration of keys/",
        "secrets engine wrapping/",
    ]
    assert vault.client().read("sys/mounts")["data"]["wrapping/"]["type"] == "transit"
    assert carry_out(work()) == SetupPlan(())


def test_another_engine_at_the_mount_of_transit_is_refused(work, vault):
    vault.client().sys.enable_secrets_engine("kv", path="wrapping")
    with pytest.raises(ConfigurationError, match="of type kv, and not transit"):
        work().plan()


def test_a_path_with_a_dot_can_not_be_told_from_a_folder():
    with pytest.raises(ConfigurationError, match="dot"):
        replace(LAYOUT, path="a.b")
    assert replace(LAYOUT, path="a.b", transit_key="one").policies


@pytest.mark.parametrize("layout", [LAYOUT, replace(LAYOUT, transit_key="secureml.staging.k")])
def test_an_operator_makes_and_rotates_and_an_application_unwraps(work, vault, layout):
    carry_out(work(layout))
    operator = token_with(vault, "secureml-staging-admin")
    with manager(vault, operator) as admin:
        made = admin.generate_key("k")
        assert admin.rotate_key("k").version == 2
        assert admin.rotate_key("k", new_material=True).version == 3
        assert [info.version for info in admin.key_history("k")] == [1, 2, 3]
        assert admin.list_keys()[0].transit_key == f"wrapping/{TRANSIT_KEY}"
        with pytest.raises(AccessDeniedError) as caught:
            admin.get_key("k")
        assert caught.value.path == f"wrapping/decrypt/{TRANSIT_KEY}"
    application = token_with(vault, "secureml-staging-read")
    with manager(vault, application) as reader:
        assert len(reader.get_encryption_key("k")) == 32
        assert reader.get_key("k", 1).fingerprint == made.fingerprint
        envelope = reader.get_key("k").envelope
        assert reader.unwrap_key(envelope, "k").material == reader.get_key("k").material
        with pytest.raises(AccessDeniedError):
            reader.rewrap_key(envelope, "k")
        with pytest.raises(AccessDeniedError):
            reader.rotate_key("k")


def test_an_operator_imports_a_key(work, vault):
    carry_out(work())
    with manager(vault, token_with(vault, "secureml-staging-admin")) as admin:
        admin.import_key("k", bytes(range(32)))
    with manager(vault, token_with(vault, "secureml-staging-read")) as reader:
        assert reader.get_encryption_key("k") == bytes(range(32))


def test_an_environment_unwraps_its_own_keys_alone(work, vault):
    carry_out(work())
    for environment in ("staging", "production"):
        with manager(vault, None, environment) as admin:
            admin.generate_key("k")
            envelope = admin.get_key("k").envelope
    assert isinstance(envelope, Envelope)
    with manager(vault, token_with(vault, "secureml-staging-read"), "production") as intruder:
        with pytest.raises(AccessDeniedError) as caught:
            intruder.unwrap_key(envelope, "k")
        assert caught.value.path == "wrapping/decrypt/secureml.production.k"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", f"wrapping/decrypt/{TRANSIT_KEY}", {"ciphertext": "vault:v1:AAAA"}),
        ("post", f"wrapping/keys/{TRANSIT_KEY}/config", {"exportable": True}),
        ("post", f"wrapping/keys/{TRANSIT_KEY}/config", {"allow_plaintext_backup": True}),
        ("post", f"wrapping/keys/{TRANSIT_KEY}/config", {"min_decryption_version": 2}),
        ("post", f"wrapping/keys/{TRANSIT_KEY}/config", {"deletion_allowed": True}),
        ("post", f"wrapping/keys/{TRANSIT_KEY}/trim", {"min_available_version": 1}),
        ("post", "wrapping/keys/secureml.staging.new", {"derived": True, "exportable": True}),
        ("post", "wrapping/keys/secureml.staging.new", {"derived": False}),
        ("post", "wrapping/keys/secureml.staging.new/import", {"ciphertext": "AAAA"}),
        ("delete", f"wrapping/keys/{TRANSIT_KEY}", None),
        ("get", f"wrapping/export/encryption-key/{TRANSIT_KEY}", None),
        ("get", f"wrapping/backup/{TRANSIT_KEY}", None),
        ("post", "wrapping/keys/others", {"derived": True}),
        ("post", "wrapping/rewrap/others", {"ciphertext": "vault:v1:AAAA"}),
        ("post", "wrapping/encrypt/secureml.staging.new", {"plaintext": "AAAA"}),
    ],
)
def test_an_operator_is_denied_every_other_request_on_transit_keys(work, vault, method, path, body):
    carry_out(work())
    operator = token_with(vault, "secureml-staging-admin")
    with manager(vault, operator) as admin:
        admin.generate_key("k")
    assert status_of(vault, operator, method, path, body) == 403
    assert status_of(vault, operator, "get", f"wrapping/keys/{TRANSIT_KEY}", None) == 200


@pytest.mark.parametrize(
    "path", ["keys", "datakey/plaintext", "encrypt", "rewrap", "keys/{key}/rotate"]
)
def test_an_application_may_not_change_transit_keys(work, vault, path):
    carry_out(work())
    with manager(vault, None) as admin:
        admin.generate_key("k")
    path = path.format(key=TRANSIT_KEY) if "{" in path else f"{path}/{TRANSIT_KEY}"
    application = token_with(vault, "secureml-staging-read")
    assert status_of(vault, application, "post", f"wrapping/{path}", {}) == 403


def test_each_right_of_the_operator_on_transit_keys_is_needed(work, vault):
    carry_out(work())
    client = vault.client()
    whole = LAYOUT.policies["secureml-staging-admin"]
    for path in re.findall(r'path "(wrapping/[^"]+)"', whole):
        less = whole.replace(f'path "{path}"', f'path "nowhere/{path}"')
        client.sys.create_or_update_policy("less", less)
        name = re.sub("[^a-z]", "-", path.removesuffix("*"))
        with manager(vault, token_with(vault, "less")) as admin, pytest.raises(AccessDeniedError):
            life(admin, f"k{name}k")


def life(admin: KeyManager, name: str) -> None:
    admin.generate_key(name)
    admin.rotate_key(name)
    admin.import_key(f"imported-{name}", bytes(32))


def test_bootstrap_runs_under_its_own_policy(work, vault):
    client = vault.client()
    client.sys.create_or_update_policy("secureml-bootstrap", bootstrap_policy(LAYOUT))
    token = token_with(vault, "secureml-bootstrap")
    assert carry_out(work(token=token)).changes
    assert work(token=token).plan() == SetupPlan(())


@pytest.mark.parametrize(
    ("traits", "problem"),
    [
        ({"type": "aes128-gcm96", "derived": True}, "is of the type aes128-gcm96"),
        ({"derived": True, "convergent_encryption": True}, "is convergent"),
        ({"derived": True, "exportable": True}, "is exportable"),
    ],
)
def test_a_transit_key_that_can_not_wrap_keys_is_remarked_on(work, vault, traits, problem):
    client = vault.client()
    client.sys.create_or_update_policy("secureml-bootstrap", bootstrap_policy(LAYOUT))
    token = token_with(vault, "secureml-bootstrap")
    carry_out(work(token=token))
    for name in (TRANSIT_KEY, "others"):
        client.adapter.post(f"/v1/wrapping/keys/{name}", json=traits)
    (remark,) = work(token=token).plan().remarks
    assert remark.startswith(f"the transit key wrapping/{TRANSIT_KEY} {problem}")
    shared = replace(LAYOUT, transit_key="others")
    assert any("wrapping/others" in each for each in work(shared).plan().remarks)
    less = bootstrap_policy(LAYOUT).replace('path "wrapping/keys"', 'path "nowhere"')
    client.sys.create_or_update_policy("less", less)
    assert work(token=token_with(vault, "less")).plan() == SetupPlan(())


def test_bootstrap_may_not_mount_the_engine_without_the_right(work, vault):
    less = bootstrap_policy(LAYOUT).replace('path "sys/mounts/wrapping"', 'path "nowhere"')
    vault.client().sys.create_or_update_policy("less", less)
    with pytest.raises(AccessDeniedError) as caught:
        carry_out(work(token=token_with(vault, "less")))
    assert caught.value.path == "sys/mounts/wrapping"


def test_a_run_without_transit_leaves_wrapped_keys_to_programs(work, vault):
    carry_out(work())
    plain = replace(LAYOUT, transit=None)
    plan = work(plain).plan()
    assert plan.changes == ()
    assert "--no-transit takes that away" in plan.remarks[0]


def test_a_run_with_another_engine_or_key_leaves_the_first_one_usable(work, vault):
    carry_out(work())
    with manager(vault, token_with(vault, "secureml-staging-admin")) as admin:
        admin.generate_key("k")
    carry_out(work(replace(LAYOUT, transit="other", transit_key="one")))
    found = vault.client().sys.read_acl_policy("secureml-staging-read")["data"]["policy"]
    assert 'path "other/decrypt/one"' in found
    with manager(vault, token_with(vault, "secureml-staging-read")) as reader:
        assert len(reader.get_encryption_key("k")) == 32


def test_rules_for_wrapped_keys_that_another_operator_adds_meanwhile_stay(work, vault):
    here = work(replace(LAYOUT, transit=None))
    plan = here.plan()
    carry_out(work())
    for change in plan.changes:
        here.apply(change)
    assert work().plan().changes == ()


def test_rules_for_wrapped_keys_are_removed_only_on_request(work, vault):
    carry_out(work())
    session = VaultSession(settings_of(vault))
    there = Bootstrap(session, replace(LAYOUT, transit=None), keep_wrapping=False)
    assert {change.title for change in carry_out(there).changes} >= {
        "policy secureml-staging-read",
        "policy secureml-production-read",
    }
    session.close()
    found = vault.client().sys.read_acl_policy("secureml-staging-read")["data"]["policy"]
    assert "wrapping" not in found


def test_a_policy_rotates_wrapped_keys_and_has_no_material(work, vault):
    carry_out(work())
    with manager(vault, None) as admin:
        made = admin.generate_key("k", rotation_period=1)
    with manager(vault, token_with(vault, "secureml-staging-rotate")) as rotating:
        assert rotating.rotate_key("k").fingerprint == made.fingerprint
        assert rotating.rotate_due(made.created + timedelta(days=9))[0].version == 3
        assert [info.version for info in rotating.key_history("k")] == [1, 2, 3]
        for refused in (
            lambda: rotating.get_key("k"),
            lambda: rotating.rotate_key("k", new_material=True),
            lambda: rotating.generate_key("another"),
            lambda: rotating.disable_key_version("k", 1),
        ):
            with pytest.raises(AccessDeniedError):
                refused()
    token = token_with(vault, "secureml-staging-rotate")
    with manager(vault, token, "production") as admin, pytest.raises(AccessDeniedError):
        admin.rotate_key("k")


def test_policies_without_transit_do_not_mention_the_engine(work, vault):
    layout = replace(LAYOUT, transit=None)
    assert not any("wrapping" in policy for policy in layout.policies.values())
    carry_out(work(layout))
    with manager(vault, None) as admin, pytest.raises(SecretError, match="no transit engine"):
        admin.generate_key("k")
