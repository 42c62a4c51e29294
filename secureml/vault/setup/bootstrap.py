"""Sets a Vault up: compares what is there with what should be, and makes the difference."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from secureml.audit import Access, Audit
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
)
from secureml.vault.client.api import Api
from secureml.vault.client.capabilities import Capabilities
from secureml.vault.client.session import VaultSession
from secureml.vault.setup.changes import Change, SetupPlan, mount_change
from secureml.vault.setup.key_mount import KeyMount
from secureml.vault.setup.policies import KeyLayout
from secureml.vault.setup.policy_changes import policy_changes, policy_has_changed
from secureml.vault.setup.roles import role_changes

__all__ = ["Bootstrap"]

_IN_USE = "already in use"
"""What Vault says of a mount that somebody else made meanwhile."""


class Bootstrap:
    """Plans the changes that a Vault needs, and makes them.

    Args:
        session: the connection to Vault.
        layout: what should be there.
        role_fields: what an operator asks of the AppRoles, as fields of Vault's API.
        keep_wrapping: whether the rules for wrapped keys that policies have stay, also for transit
            mounts and keys that the layout does not name.
        audit: records each change.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        session: VaultSession,
        layout: KeyLayout,
        role_fields: Mapping[str, object] | None = None,
        *,
        keep_wrapping: bool = True,
        audit: Audit | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._api = Api(session)
        self._layout = layout
        self._role_fields = role_fields or {}
        self._keep_wrapping = keep_wrapping
        self._audit = audit
        self._mount = KeyMount(self._api, layout, sleep)

    def plan(self) -> SetupPlan:
        """Find out what is to be done; changes nothing.

        Raises:
            ConfigurationError: something else is mounted in place of the keys or AppRole.
            SecretError: Vault can't be asked.
        """
        api, layout = self._api, self._layout
        remarks: list[str] = []
        changes = [*self._mount.changes(remarks)]
        if layout.transit is not None:
            what = "vault_transit_mount"
            transit = mount_change(api, "sys/mounts", layout.transit, what, "transit")
            changes += [] if transit is None else [transit]
        changes += policy_changes(api, layout, remarks, keep_wrapping=self._keep_wrapping)
        changes += role_changes(api, layout, self._role_fields)
        return SetupPlan(tuple(changes), tuple(remarks))

    def check(self, plan: SetupPlan) -> None:
        """Check that the token may make every change of a plan.

        Raises:
            AccessDeniedError: the token may not make every change, or may not ask whether it may.
            SecretError: Vault can't be asked.
        """
        if not plan.changes:
            return
        needed = [(change.path, change.capabilities) for change in plan.changes]
        roles = map(self._layout.role_path, self._layout.environments)
        needed += [(f"{role}/role-id", ("read",)) for role in roles]
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
        if policy_has_changed(self._api, change):
            again = [each for each in self.plan().changes if each.path == change.path]
            if not again:
                return
            change = again[0]
        access = Access() if self._audit is None else self._audit.access("bootstrap")
        with access:
            access.attempt(change.title)
            answer = self._session.request(
                "post",
                change.path,
                body=change.body,
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

    def audit_devices(self) -> tuple[str, ...]:
        """Return the names of the audit devices that are on.

        Raises:
            AccessDeniedError: the token may not see them.
            VaultUnavailableError: Vault can't be asked.
        """
        try:
            answer = self._api.get("sys/audit", "sudo")
        except (AccessDeniedError, AuthenticationError):
            problem = "the token may not read sys/audit, which takes sudo"
        else:
            if answer.status == 200:
                return tuple(sorted(answer.data))
            problem = "Vault lists them in its root namespace alone"
        raise AccessDeniedError(problem, path="sys/audit", capability="sudo")

    def _role_id(self, environment: str) -> str:
        found = self._api.expect(f"{self._layout.role_path(environment)}/role-id")
        role_id = found.text("role_id")
        if not role_id:
            raise found.malformed("role_id")
        return role_id
