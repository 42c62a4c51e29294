"""The AppRole of an environment: what it should be, and what an operator may have made stricter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

__all__ = ["RoleOptions", "role_as_found", "role_as_wanted"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleOptions:
    """What an operator asks of every role; None leaves the default, or what is stricter there.

    Args:
        secret_id_ttl: seconds that a secret ID is good for; 0 for no end.
        secret_id_num_uses: how often it can log in; 0 for any number.
        bound_cidrs: the networks from which secret IDs and tokens can be used.
        token_type: ``default``, ``service`` or ``batch``.
        token_period: seconds within which a token must be renewed, and then lasts; 0 for none.
    """

    secret_id_ttl: int | None = None
    secret_id_num_uses: int | None = None
    bound_cidrs: tuple[str, ...] | None = None
    token_type: str | None = None
    token_period: int | None = None

    def fields(self) -> dict[str, object]:
        """Return what was asked for, as the fields of a role."""
        cidrs = None if self.bound_cidrs is None else list(self.bound_cidrs)
        fields = {
            "secret_id_ttl": self.secret_id_ttl,
            "secret_id_num_uses": self.secret_id_num_uses,
            "secret_id_bound_cidrs": cidrs,
            "token_bound_cidrs": cidrs,
            "token_type": self.token_type,
            "token_period": self.token_period,
        }
        return {name: value for name, value in fields.items() if value is not None}


def role_as_found(role: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a role that are compared.

    Args:
        role: what Vault tells of it.
    """
    names = ("token_policies", *_DEFAULTS)
    # Vault leaves out, or has null for, what it does not know or is empty.
    return {
        name: _DEFAULTS.get(name, []) if role.get(name) is None else role[name] for name in names
    }


def role_as_wanted(
    policy: str, options: RoleOptions, found: Mapping[str, object]
) -> dict[str, object]:
    """Return what a role should be: as asked for, or as found if that is as strict as the default.

    Args:
        policy: the one policy that its tokens have.
        options: what was asked for.
        found: what it is; empty if there is none.
    """
    given = options.fields()
    wanted: dict[str, object] = {"token_policies": [policy]}
    for name, default in _DEFAULTS.items():
        value = given.get(name, default)
        keeps = _is_same if name in given else _KEEPS.get(name, _is_same)
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


def _is_bound(found: object, _: object) -> bool:
    return isinstance(found, Sequence)


def _is_any(_found: object, _wanted: object) -> bool:
    """A type says how tokens are kept; none gives them more rights."""
    return True


_KEEPS: Mapping[str, Callable[[object, object], bool]] = {
    "secret_id_ttl": _is_at_most,
    "secret_id_num_uses": _is_at_most,
    "secret_id_bound_cidrs": _is_bound,
    "token_ttl": _is_at_most,
    "token_max_ttl": _is_at_most,
    "token_explicit_max_ttl": _is_at_most,
    "token_period": _is_no_longer,
    "token_num_uses": _is_at_most,
    "token_bound_cidrs": _is_bound,
    "token_type": _is_any,
}
"""Whether what an operator set is as strict as the default."""
