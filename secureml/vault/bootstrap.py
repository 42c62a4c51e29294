"""Set a Vault up: what should be there, what is there, and the requests that make up for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from secureml.concealed import SecretText
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    SecretError,
)
from secureml.vault.api import Api
from secureml.vault.changes import Change, Plan
from secureml.vault.key_mount import KeyMount
from secureml.vault.policies import Layout
from secureml.vault.session import VaultSession

__all__ = ["Audit", "Bootstrap"]

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Audit:
    """Whether Vault logs who did what.

    Args:
        devices: the audit devices; None where they can't be seen.
        reason: why they can't be seen.
    """

    devices: tuple[str, ...] | None
    reason: str = ""


class Bootstrap:
    """Compares a Vault with what it should be, and makes up for the difference.

    Args:
        session: the connection to Vault.
        layout: what should be there.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        session: VaultSession,
        layout: Layout,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = Api(session)
        self._layout = layout
        self._mount = KeyMount(self._api, layout, sleep)

    def plan(self) -> Plan:
        """Find out what is to be done; changes nothing.

        Raises:
            ConfigurationError: something else is mounted where keys or AppRole should be.
            SecretError: Vault can't be asked.
        """
        remarks: list[str] = []
        changes = [
            *self._mount.changes(remarks),
            *self._transit_changes(),
            *self._policy_changes(),
            *self._role_changes(),
        ]
        return Plan(tuple(changes), tuple(remarks))

    def apply(self, change: Change) -> None:
        """Carry out one change of the plan; they depend on each other in their order.

        Raises:
            SecretError: Vault refuses it, or can't be asked.
        """
        self._api.post(change.path, change.body, repeatable=change.repeatable)
        if change.path == self._mount.path:
            self._mount.wait()

    def role_ids(self) -> dict[str, str]:
        """Return the role_id of each environment's AppRole; it is a name and no secret.

        Raises:
            SecretError: a role is missing, or Vault can't be asked.
        """
        return {name: self._role_id(name) for name in self._layout.environments}

    def make_token(self, policies: Sequence[str], period: str) -> SecretText:
        """Make a token that has these policies alone and stays valid as long as it is renewed.

        Args:
            policies: the policies' names.
            period: how long it is valid without that, such as ``768h``.

        Raises:
            SecretError: Vault refuses it, or can't be asked.
        """
        path = "auth/token/create-orphan"
        wanted = {"policies": list(policies), "period": period, "no_default_policy": True}
        auth = self._api.post(path, wanted, repeatable=False).body.section("auth")
        token = SecretText(auth.text("client_token") or "")
        if not token:
            raise SecretError(f"Vault made no token at {path!r}")
        return token

    def make_root_token(self, token: SecretText) -> None:
        """Make a token that may do everything; for a server for development alone.

        Args:
            token: what it is to be.

        Raises:
            SecretError: Vault refuses it, or can't be asked.
        """
        wanted = {"id": token.reveal(), "policies": ["root"]}
        self._api.post("auth/token/create-orphan", wanted, repeatable=False)

    def audit(self) -> Audit:
        """Find out which audit devices are on.

        Raises:
            VaultUnavailableError: Vault can't be asked.
        """
        try:
            answer = self._api.get("sys/audit", "sudo")
        except (AccessDeniedError, AuthenticationError):
            return Audit(None, "the token may not read sys/audit, which takes sudo")
        if answer.status != 200:
            return Audit(None, "Vault tells of them in its root namespace alone")
        return Audit(tuple(sorted(answer.data)))

    def _transit_changes(self) -> Iterator[Change]:
        mount = self._layout.transit
        if mount is None:
            return
        engine = self._api.occupant("sys/mounts", mount, "vault_transit_mount")
        if engine is None:
            yield Change(
                title=f"secrets engine {mount}/",
                path=f"sys/mounts/{mount}",
                before="",
                after='type = "transit"',
                body={"type": "transit"},
                repeatable=False,
            )
        elif engine.word("type") != "transit":
            raise ConfigurationError(
                f"at vault_transit_mount {mount!r} there is a secrets engine of type "
                f"{engine.word('type')}, and not transit; name another mount"
            )

    def _policy_changes(self) -> Iterator[Change]:
        for name, wanted in self._layout.policies.items():
            path = f"sys/policies/acl/{name}"
            policy = self._api.find(path)
            found = "" if policy is None else policy.text("policy") or ""
            if found.strip() != wanted.strip():
                yield Change(
                    title=f"policy {name}",
                    path=path,
                    before=found,
                    after=wanted,
                    body={"policy": wanted},
                    overwrites=bool(found),
                )

    def _role_changes(self) -> Iterator[Change]:
        approle = self._layout.approle
        method = self._api.occupant("sys/auth", approle, "the mount of AppRole")
        if method is None:
            yield Change(
                title=f"auth method {approle}/",
                path=f"sys/auth/{approle}",
                before="",
                after='type = "approle"',
                body={"type": "approle"},
                repeatable=False,
            )
        elif method.word("type") != "approle":
            raise ConfigurationError(
                f"at {approle!r} there is an auth method of type {method.word('type')}, and not "
                "AppRole; name another mount"
            )
        for environment in self._layout.environments:
            path = self._role_path(environment)
            wanted = self._role(environment)
            role = None if method is None else self._api.find(path)
            found = {} if role is None else {name: role.get(name) for name in wanted}
            if found != wanted:
                yield Change(
                    title=f"AppRole {self._layout.role(environment)}",
                    path=path,
                    before=_lines(found),
                    after=_lines(wanted),
                    body=wanted,
                    overwrites=bool(found),
                )

    def _role(self, environment: str) -> dict[str, object]:
        return {
            "bind_secret_id": True,
            # Less than the 32 days that Vault allows by default; a new one is delivered monthly.
            "secret_id_ttl": 30 * 24 * _HOUR,
            # An application logs in with it again and again, in several processes.
            "secret_id_num_uses": 0,
            "token_policies": [self._layout.read_policy_name(environment)],
            "token_no_default_policy": True,
            "token_ttl": _HOUR,
            "token_max_ttl": 24 * _HOUR,
        }

    def _role_path(self, environment: str) -> str:
        return f"auth/{self._layout.approle}/role/{self._layout.role(environment)}"

    def _role_id(self, environment: str) -> str:
        path = f"{self._role_path(environment)}/role-id"
        found = self._api.expect(path)
        role_id = found.text("role_id")
        if not role_id:
            raise found.malformed("role_id")
        return role_id


def _lines(values: Mapping[str, object]) -> str:
    return "\n".join(f"{name} = {_shown(value)}" for name, value in values.items())


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
