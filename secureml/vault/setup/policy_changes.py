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

__all__ = ["policy_changes", "policy_has_changed"]

_PATH = "sys/policies/acl/"


def policy_changes(
    api: Api, layout: KeyLayout, remarks: list[str], *, keep_wrapping: bool
) -> Iterator[Change]:
    """Find out what is to be done so that each policy is as in the layout.

    Args:
        api: asks Vault.
        layout: what should be there.
        remarks: takes what is left as it is, though it may matter.
        keep_wrapping: whether the rules for wrapped keys that policies have stay.

    Raises:
        SecretError: Vault can't be asked.
    """
    found = {name: _policy(api, name) for name in layout.policies}
    kept = wrapping_in(found.values()) if keep_wrapping else ()
    whole = replace(layout, kept=kept)
    for mount, only in whole.wrappings:
        remarks += _transit_problems(api, layout, mount, only)
        if mount != layout.transit:
            remarks.append(
                f"policies go on to allow the keys that the transit engine {mount}/ wraps; "
                "--no-transit takes that away"
            )
    for name, wanted in whole.policies.items():
        before = found[name] if name in found else _policy(api, name)
        if before.strip() != wanted.strip():
            yield Change(
                title=f"policy {name}",
                path=f"{_PATH}{name}",
                before=before,
                after=wanted,
                body={"policy": wanted},
                overwrites=bool(before),
            )


def policy_has_changed(api: Api, change: Change) -> bool:
    """Tell whether a change is about a policy that somebody has written since it was planned.

    Args:
        api: asks Vault.
        change: any change.
    """
    name = change.path.removeprefix(_PATH)
    return name != change.path and _policy(api, name).strip() != change.before.strip()


def _policy(api: Api, name: str) -> str:
    policy = api.find(f"{_PATH}{name}")
    return "" if policy is None else policy.text("policy") or ""


def _transit_problems(api: Api, layout: KeyLayout, mount: str, only: str | None) -> Iterator[str]:
    """Say what is wrong with the transit keys of the layout, as far as the token sees them."""
    with suppress(AccessDeniedError):
        prefix = f"{layout.path.replace('/', '.')}."
        listed = [] if only else api.entries(f"{mount}/keys")
        for name in [only] if only else [name for name in listed if name.startswith(prefix)]:
            traits = api.find(f"{mount}/keys/{name}")
            problem = "" if traits is None else kind_problem(traits)
            if problem:
                yield f"the transit key {mount}/{name} {problem}"
