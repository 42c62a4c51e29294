"""Compares the policies in a Vault with those of a layout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from secureml.errors import AccessDeniedError
from secureml.vault.client.api import Api
from secureml.vault.client.transit import kind_problem
from secureml.vault.setup.changes import Change
from secureml.vault.setup.policies import KeyLayout, wrapping_in

__all__ = ["Policies"]

_PATH = "sys/policies/acl/"


class Policies:
    """Plans the changes that policies need.

    Args:
        api: asks Vault.
        layout: what should be there.
        keep_wrapping: whether the rules for wrapped keys that policies have stay.
    """

    def __init__(self, api: Api, layout: KeyLayout, *, keep_wrapping: bool) -> None:
        self._api = api
        self._layout = layout
        self._keep_wrapping = keep_wrapping

    def changes(self, remarks: list[str]) -> Iterator[Change]:
        """Find out what is to be done.

        Args:
            remarks: takes what is left as it is, though it may matter.

        Raises:
            SecretError: Vault can't be asked.
        """
        found = {name: self._found(name) for name in self._layout.policies}
        kept = wrapping_in(found.values()) if self._keep_wrapping else ()
        layout = replace(self._layout, kept=kept)
        for mount, only in layout.wrappings:
            remarks += self._transit_problems(mount, only)
            if mount != layout.transit:
                remarks.append(
                    f"policies go on to allow the keys that the transit engine {mount}/ wraps; "
                    "--no-transit takes that away"
                )
        for name, wanted in layout.policies.items():
            before = found[name] if name in found else self._found(name)
            if before.strip() != wanted.strip():
                yield Change(
                    title=f"policy {name}",
                    path=f"{_PATH}{name}",
                    before=before,
                    after=wanted,
                    body={"policy": wanted},
                    overwrites=bool(before),
                )

    def have_changed_since(self, change: Change) -> bool:
        """Tell whether a change is about a policy that somebody has written since it was planned.

        Args:
            change: any change.
        """
        name = change.path.removeprefix(_PATH)
        return name != change.path and self._found(name).strip() != change.before.strip()

    def _found(self, name: str) -> str:
        policy = self._api.find(f"{_PATH}{name}")
        return "" if policy is None else policy.text("policy") or ""

    def _transit_problems(self, mount: str, only: str | None) -> Iterator[str]:
        """Say what is wrong with the transit keys of the layout, as far as the token sees them."""
        with suppress(AccessDeniedError):
            prefix = f"{self._layout.path.replace('/', '.')}."
            listed = [] if only else self._api.entries(f"{mount}/keys")
            for name in [only] if only else [name for name in listed if name.startswith(prefix)]:
                traits = self._api.find(f"{mount}/keys/{name}")
                problem = "" if traits is None else kind_problem(traits)
                if problem:
                    yield f"the transit key {mount}/{name} {problem}"
