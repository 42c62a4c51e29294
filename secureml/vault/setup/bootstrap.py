"""Set a Vault up: what should be there, what is there, and the requests that make up for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from secureml.audit import Access
from secureml.audit import Audit as AuditLog
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    SecretError,
)
from secureml.secret_types import SecretText
from secureml.vault.client.api import Api
from secureml.vault.client.capabilities import Capabilities
from secureml.vault.client.session import VaultSession
from secureml.vault.setup.changes import Change, Plan
from secureml.vault.setup.key_mount import KeyMount
from secureml.vault.setup.policies import Layout
from secureml.vault.setup.policy_changes import Policies
from secureml.vault.setup.roles import RoleOptions, role_as_found, role_as_wanted

__all__ = ["Audit", "Bootstrap"]

_IN_USE = "already in use"
"""What Vault says of a mount that somebody else made meanwhile."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Whether Vault logs who did what.

    Args:
        devices: the audit devices; None if they can't be seen.
        reason: why they can't be seen.
    """

    devices: tuple[str, ...] | None
    reason: str = ""


class Bootstrap:
    """Compares a Vault with what it should be, and makes up for the difference.

    Args:
        session: the connection to Vault.
        layout: what should be there.
        options: what an operator asks of the AppRoles.
        keep_wrapping: whether the rules for wrapped keys that policies have stay, also for transit
            mounts and keys that the layout does not name.
        audit: records each change.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        session: VaultSession,
        layout: Layout,
        options: RoleOptions | None = None,
        *,
        keep_wrapping: bool = True,
        audit: AuditLog | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._api = Api(session)
        self._layout = layout
        self._options = options or RoleOptions()
        self._policies = Policies(self._api, layout, keep_wrapping=keep_wrapping)
        self._audit = audit
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
            *self._policies.changes(remarks),
            *self._role_changes(),
        ]
        return Plan(tuple(changes), tuple(remarks))

    def check(self, plan: Plan) -> None:
        """See to it that a plan can be carried out to its end.

        Raises:
            AccessDeniedError: the token may not make every change, or may not ask whether it may.
            SecretError: Vault can't be asked.
        """
        if not plan.changes:
            return
        needed = [(change.path, change.capabilities) for change in plan.changes]
        needed += [(self._role_id_path(name), ("read",)) for name in self._layout.environments]
        held = Capabilities.of(self._session, (path for path, _ in needed))
        if held is None:
            raise AccessDeniedError(
                "nothing was changed: the token may not ask what it may do, which takes 'update' "
                "on 'sys/capabilities-self'",
                mount="sys",
                path="sys/capabilities-self",
                capability="update",
            )
        denied = [
            (path, name)
            for path, capabilities in needed
            for name in held.missing(path, capabilities)
        ]
        if denied:
            listing = ", ".join(f"{name!r} on {path!r}" for path, name in dict.fromkeys(denied))
            path, capability = denied[0]
            raise AccessDeniedError(
                f"nothing was changed: the token's policies lack {listing}",
                mount=path.partition("/")[0],
                path=path,
                capability=capability,
            )

    def apply(self, change: Change) -> None:
        """Carry out one change of the plan; they depend on each other in their order.

        What somebody else has made since the plan is looked at again: a mount is taken for this
        one if it is as it should be, and a policy keeps its rules for wrapped keys.

        Raises:
            ConfigurationError: something else is mounted there by now.
            SecretError: Vault refuses it, or can't be asked.
        """
        if self._policies.have_changed_since(change):
            again = [each for each in self.plan().changes if each.path == change.path]
            if not again:
                return
            change = again[0]
        access = Access() if self._audit is None else self._audit.access("bootstrap")
        with access:
            access.attempt(change.title)
            answer = self._api.write(
                change.path,
                change.body,
                capability=" and ".join(change.capabilities),
                repeatable=change.repeatable,
            )
            access.note(request_id=answer.body.request_id)
            is_taken = not change.repeatable and answer.body.says(_IN_USE)
            if not is_taken or any(change.path == other.path for other in self.plan().changes):
                self._api.accepted(answer, change.path)
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
        answer = self._api.post(path, wanted, capability="sudo", repeatable=False)
        auth = answer.body.section("auth")
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
        path = "auth/token/create-orphan"
        self._api.post(path, wanted, capability="sudo", repeatable=False)

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
        engine = self._api.mount_at("sys/mounts", mount, "vault_transit_mount")
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

    def _role_changes(self) -> Iterator[Change]:
        approle = self._layout.approle
        method = self._api.mount_at("sys/auth", approle, "the mount of AppRole")
        if method is None:
            yield Change(
                title=f"auth method {approle}/",
                path=f"sys/auth/{approle}",
                before="",
                after='type = "approle"',
                body={"type": "approle"},
                repeatable=False,
                capabilities=("sudo", "update"),
            )
        elif method.word("type") != "approle":
            raise ConfigurationError(
                f"at {approle!r} there is an auth method of type {method.word('type')}, and not "
                "AppRole; name another mount"
            )
        for environment in self._layout.environments:
            path = self._role_path(environment)
            role = None if method is None else self._api.find(path)
            found = {} if role is None else role_as_found(role)
            policy = self._layout.read_policy_name(environment)
            wanted = role_as_wanted(policy, self._options, found)
            if found != wanted:
                yield Change(
                    title=f"AppRole {self._layout.role(environment)}",
                    path=path,
                    before=_lines(found),
                    after=_lines(wanted),
                    # What is as it should be is not sent: Vault keeps it.
                    body={name: value for name, value in wanted.items() if found.get(name) != value}
                    if found
                    else wanted,
                    overwrites=bool(found),
                    capabilities=("update",) if found else ("create",),
                )

    def _role_path(self, environment: str) -> str:
        return f"auth/{self._layout.approle}/role/{self._layout.role(environment)}"

    def _role_id_path(self, environment: str) -> str:
        return f"{self._role_path(environment)}/role-id"

    def _role_id(self, environment: str) -> str:
        found = self._api.expect(self._role_id_path(environment))
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
