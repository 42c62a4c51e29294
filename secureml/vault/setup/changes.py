"""What is to be done to a Vault, as requests that can be shown before they are sent."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from secureml.errors import ConfigurationError
from secureml.vault.client.api import Api

__all__ = ["Change", "SetupPlan", "lines_of", "mount_change"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One request that brings Vault a step closer to what it should be.

    Args:
        title: what it is about.
        path: the API path that is written to.
        before: what is there, as text; empty if nothing is.
        after: what will be there.
        body: what is sent.
        overwrites: whether it takes the place of something that another hand may have written.
        repeatable: whether sending it twice does no harm.
        capabilities: the policy capabilities that it takes.
    """

    title: str
    path: str
    before: str
    after: str
    body: Mapping[str, object] = field(repr=False)
    overwrites: bool = False
    repeatable: bool = True
    capabilities: tuple[str, ...] = ("update",)

    def diff(self) -> str:
        """Return the change as a unified diff."""
        lines = difflib.unified_diff(
            self.before.splitlines(),
            self.after.splitlines(),
            fromfile=self.title if self.before else "/dev/null",
            tofile=self.title,
            lineterm="",
        )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """What is to be done.

    Args:
        changes: the requests, in order.
        remarks: what is left as it is, though it may matter.
    """

    changes: tuple[Change, ...]
    remarks: tuple[str, ...] = ()


def lines_of(values: Mapping[str, object]) -> str:
    """Return values by name as lines of a diff."""
    return "\n".join(f"{name} = {_shown(value)}" for name, value in values.items())


def mount_change(
    api: Api, listing: str, place: str, what: str, kind: str, *, version: str | None = None
) -> Change | None:
    """Return the change that mounts an engine; None if it is mounted.

    Args:
        api: asks Vault.
        listing: ``sys/mounts`` or ``sys/auth``.
        place: where the engine should be mounted.
        what: what the place is called, for messages.
        kind: the engine's type.
        version: the engine's version, if there are several.

    Raises:
        ConfigurationError: something else is mounted there, or is in the way.
        SecretError: Vault can't be asked.
    """
    mounts = api.expect(listing)
    mount = mounts.mapping(f"{place}/")
    noun = "auth method" if listing == "sys/auth" else "secrets engine"
    if mount is None:
        for other in mounts:
            if f"{place}/".startswith(other) or other.startswith(f"{place}/"):
                raise ConfigurationError(
                    f"nothing can be mounted at {what} {place!r}, because of the mount {other!r}"
                )
        body: dict[str, object] = {"type": kind}
        after = f'type = "{kind}"'
        if version:
            body["options"] = {"version": version}
            after += f'\noptions = {{ version = "{version}" }}'
        return Change(
            title=f"{noun} {place}/",
            path=f"{listing}/{place}",
            before="",
            after=after,
            body=body,
            repeatable=False,
            capabilities=("sudo", "update") if listing == "sys/auth" else ("update",),
        )
    found, wanted = str(mount.word("type")), kind
    if version:
        wanted += f" version {version}"
        if found == kind:
            found += f" version {mount.section('options').word('version') or '1'}"
    if found != wanted:
        raise ConfigurationError(
            f"at {what} {place!r} there is a {noun} of type {found}, and not {wanted}; name "
            "another mount"
        )
    return None


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
