"""The AppRole of an environment: what it should be, and what an operator may have made stricter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network

from secureml.vault.client.api import Api
from secureml.vault.setup.changes import Change, lines_of, mount_change
from secureml.vault.setup.policies import KeyLayout

__all__ = ["role_changes"]

_HOUR = 3600

_DEFAULTS: Mapping[str, object] = {
    "bind_secret_id": True,
    # Less than the 32 days that Vault allows by default; a new one is delivered monthly.
    "secret_id_ttl": 30 * 24 * _HOUR,
    # An application logs in with it again and again, in several processes.
    "secret_id_num_uses": 0,
    "secret_id_bound_cidrs": [],
    "token_no_default_policy": True,
    "token_ttl": _HOUR,
    "token_max_ttl": 24 * _HOUR,
    "token_explicit_max_ttl": 0,
    "token_period": 0,
    "token_num_uses": 0,
    "token_bound_cidrs": [],
    "token_type": "default",
}
"""Every field that widens what a secret ID or a token is good for."""


def role_changes(api: Api, layout: KeyLayout, asked: Mapping[str, object]) -> Iterator[Change]:
    """Find out what is to be done so that each environment has its AppRole.

    Args:
        api: asks Vault.
        layout: what should be there.
        asked: the fields that an operator asks for of every role; of all others the default is
            wanted, or what is there if that is as strict.

    Raises:
        ConfigurationError: something else is mounted in place of AppRole.
        SecretError: Vault can't be asked.
    """
    method = mount_change(api, "sys/auth", layout.approle, "the mount of AppRole", "approle")
    if method is not None:
        yield method
    for environment in layout.environments:
        path = layout.role_path(environment)
        role = None if method is not None else api.find(path)
        found = {} if role is None else _found(role)
        wanted = _wanted(layout.policy_name("read", environment), asked, found)
        if found != wanted:
            yield Change(
                title=f"AppRole {layout.role(environment)}",
                path=path,
                before=lines_of(found),
                after=lines_of(wanted),
                # What is as it should be is not sent: Vault keeps it.
                body={
                    name: value
                    for name, value in wanted.items()
                    if name not in found or found[name] != value
                },
                overwrites=bool(found),
                capabilities=("update",) if found else ("create",),
            )


def _found(role: Mapping[str, object]) -> dict[str, object]:
    # Vault leaves out, or has null for, what it does not know or is empty.
    return {
        name: _DEFAULTS.get(name, []) if role.get(name) is None else role[name]
        for name in ("token_policies", *_DEFAULTS)
    }


def _wanted(
    policy: str, asked: Mapping[str, object], found: Mapping[str, object]
) -> dict[str, object]:
    wanted: dict[str, object] = {"token_policies": [policy]}
    for name, default in _DEFAULTS.items():
        value = asked.get(name, default)
        keeps = _is_same if name in asked else _KEEPS.get(name, _is_same)
        wanted[name] = found[name] if name in found and keeps(found[name], value) else value
    longest = wanted["token_max_ttl"]
    if isinstance(longest, int) and not _is_at_most(wanted["token_ttl"], longest):
        wanted["token_ttl"] = longest
    return wanted


def _is_same(found: object, wanted: object) -> bool:
    if isinstance(found, list) and isinstance(wanted, list):
        # Vault writes the network of one address as the address.
        return set(map(_network, found)) == set(map(_network, wanted))
    return found == wanted


def _network(text: str) -> object:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return text


def _is_at_most(found: object, wanted: object) -> bool:
    """Compare limits of which 0 is none."""
    return wanted == 0 or (
        isinstance(found, int) and isinstance(wanted, int) and 0 < found <= wanted
    )


def _is_no_longer(found: object, wanted: object) -> bool:
    """Compare periods: one that is not 0 lets a token live for as long as it is renewed."""
    return isinstance(found, int) and isinstance(wanted, int) and found <= wanted


_KEEPS: Mapping[str, Callable[[object, object], bool]] = {
    "secret_id_ttl": _is_at_most,
    "secret_id_num_uses": _is_at_most,
    "secret_id_bound_cidrs": lambda found, _: isinstance(found, list),
    "token_ttl": _is_at_most,
    "token_max_ttl": _is_at_most,
    "token_explicit_max_ttl": _is_at_most,
    "token_period": _is_no_longer,
    "token_num_uses": _is_at_most,
    "token_bound_cidrs": lambda found, _: isinstance(found, list),
    # A type says how tokens are kept; none gives them more rights.
    "token_type": lambda _found, _wanted: True,
}
"""Whether what an operator set is as strict as the default."""
