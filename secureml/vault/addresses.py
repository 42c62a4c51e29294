"""Where Vault is: one or more addresses, and where a redirect may lead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from secureml.settings.checks import is_loopback

__all__ = ["Address", "parse_addresses", "redirect_target"]

_UNIX = "unix://"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """One address of Vault.

    Args:
        shown: as it stands in the settings, for messages.
        base: the URL that requests go to; a host of its own for a unix socket.
        socket: the path of the unix socket; None where it is no such socket.
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
        The address; None where the host is another one, or the token, which was protected on its
        way so far, would travel to it in the clear.
    """
    try:
        target = urlsplit(location)
        host, port = target.hostname, target.port
    except ValueError:
        return None
    if target.scheme not in ("http", "https") or not host or "@" in target.netloc:
        return None
    if target.scheme == "http" and _is_protected(asked, is_loopback(location)):
        return None
    hosts = {urlsplit(address.base).hostname for address in (asked, *known) if not address.socket}
    netloc = target.netloc.lower()
    names = {host, netloc, netloc if port else f"{netloc}:{_PORTS[target.scheme]}"}
    if host not in hosts and names.isdisjoint(name.lower() for name in allowed):
        return None
    base = f"{target.scheme}://{target.netloc}"
    return Address(shown=base, base=base)


def _is_protected(asked: Address, stays_here: bool) -> bool:
    """Tell whether plain HTTP would expose more than the request to this address did."""
    if urlsplit(asked.base).scheme == "https":
        return True
    return not stays_here and (asked.socket is not None or is_loopback(asked.base))


def _parse(text: str, number: int) -> Address:
    if not text.startswith(_UNIX):
        return Address(shown=text, base=text)
    # The host is never looked up; it only picks the adapter that knows the socket.
    return Address(
        shown=text, base=f"http://unix-{number}.invalid", socket=text.removeprefix(_UNIX)
    )
