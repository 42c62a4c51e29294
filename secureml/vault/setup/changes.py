"""What is to be done to a Vault, as requests that can be shown before they are sent."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Change", "Plan"]


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
class Plan:
    """What is to be done.

    Args:
        changes: the requests, in order.
        remarks: what is left as it is, though it may matter.
    """

    changes: tuple[Change, ...]
    remarks: tuple[str, ...] = ()
