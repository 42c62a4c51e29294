"""Vault's addresses, and where a redirect may lead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secureml.settings.checks import is_loopback, split_url

__all__ = ["Address", "parse_addresses", "redirect_target"]

_UNIX = "unix://"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """One address of Vault.

    Args:
        shown: as it stands in the settings, for messages.
        base: the URL that requests go to; a host of its own for a unix socket.
        socket: the path of the unix socket; None if it is no such socket.
    """

    shown: str
    base: str
    socket: str | None = None


def parse_addresses(vault_url: str) -> tuple[Address, ...]:
    """Split ``vault_url`` into addresses.

    Args:
        vault_url: one address, or several with commas between; already checked.
    """
    return tuple(
        _parse(text.strip(), number) for number, text in enumerate(vault_url.split(","), start=1)
    )


def redirect_target(
    location: str, asked: Address, known: Sequence[Address], allowed: Sequence[str]
) -> Address | None:
    """Return where a redirect leads, if the token may go there.

    Args:
        location: the redirect's target.
        asked: the address that gave it.
        known: all addresses in the settings.
        allowed: further hosts, with or without a port.

    Returns:
        The address; None if the host is another one, or the token, which was protected on its
        way so far, would travel to it in the clear.
    """
    target = split_url(location)
    if target is None:
        return None
    if target.scheme == "http" and _is_protected(asked, is_loopback(location)):
        return None
    host, port = target.host, target.port or _PORTS[target.scheme]
    asked_or_known = [split_url(each.base) for each in (asked, *known) if not each.socket]
    hosts = {parts.host for parts in asked_or_known if parts is not None}
    names = {host, f"{host}:{port}", f"[{host}]", f"[{host}]:{port}"}
    if host not in hosts and names.isdisjoint(name.lower() for name in allowed):
        return None
    base = location.removesuffix(target.path)
    return Address(shown=base, base=base)


def _is_protected(asked: Address, stays_here: bool) -> bool:
    """Tell whether plain HTTP would expose more than the request to this address did."""
    if asked.base.lower().startswith("https://"):
        return True
    return not stays_here and (asked.socket is not None or is_loopback(asked.base))


def _parse(text: str, number: int) -> Address:
    if not text.startswith(_UNIX):
        return Address(shown=text, base=text)
    # The host is never looked up; it only picks the adapter that knows the socket.
    return Address(
        shown=text, base=f"http://unix-{number}.invalid", socket=text.removeprefix(_UNIX)
    )
