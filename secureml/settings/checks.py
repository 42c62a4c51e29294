"""What the text of a setting may look like that ends up in a request to Vault.

Each check takes the text and what it is, for the message. It returns the text, some in their normal
form, or raises a ConfigurationError, whose message doesn't repeat the text: it may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple

from secureml.errors import ConfigurationError

__all__ = [
    "LONGEST_SOCKET",
    "HttpUrl",
    "check_host",
    "check_hosts",
    "check_name",
    "check_namespace",
    "check_path",
    "check_proxy",
    "check_token",
    "check_transit_key",
    "check_url",
    "check_urls",
    "is_loopback",
    "split_url",
]

_UNSAFE_IN_PATH = frozenset("%?#\\")
_URL = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[0-9a-z_.-]+)(?::([0-9]{1,5}))?(/.*)?", re.ASCII | re.IGNORECASE
)
_LABEL = re.compile(r"[0-9a-z_](?:[0-9a-z_-]{0,61}[0-9a-z_])?")
_LONGEST_HOST = 253
_HIGHEST_PORT = 65535
LONGEST_SOCKET = 107
"""Bytes of a socket's path; Linux takes no more."""
_TRANSIT_KEY = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")


def check_path(text: str, what: str) -> str:
    """Return a path inside Vault (a secret's name, a mount, a prefix), or refuse it.

    A client sends ``dev/../prod/key`` as it stands and the server answers with production's key,
    so such segments are refused here, before any request.

    Args:
        text: segments separated by ``/``.
        what: what the text is, for the message.

    Returns:
        The text, unchanged.

    Raises:
        ConfigurationError: a segment is empty, ``.`` or ``..``, or holds a character that could
            change its meaning on the way. The message doesn't repeat the text.
        TypeError: the text is no ``str``.
    """
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {type(text).__name__}")
    if not text:
        raise ConfigurationError(f"{what} is empty")
    if text.startswith("/") or text.endswith("/"):
        raise ConfigurationError(f"{what} must not begin or end with '/'")
    if not text.isprintable():
        raise ConfigurationError(f"{what} holds a control character or one that does not print")
    if not _UNSAFE_IN_PATH.isdisjoint(text):
        raise ConfigurationError(f"{what} must not hold '%', '?', '#' or a backslash")
    _check_segments(text, what)
    return text


def check_name(text: str, what: str) -> str:
    """Check the name of a user or a role, which may travel in a URL.

    ``/``, ``@``, a backslash and spaces may be in it; an empty, ``.`` or ``..`` segment may not.
    """
    if not text.isprintable():
        raise ConfigurationError(f"{what} holds a control character or one that does not print")
    _check_segments(text, what)
    return text


def check_transit_key(text: str, what: str) -> str:
    """Check the name of a key of Vault's transit engine, given without the engine's mount."""
    if not _TRANSIT_KEY.fullmatch(text):
        raise ConfigurationError(
            f"{what} must be letters of ASCII, digits and '_', and within it also '-' and '.'"
        )
    return text


def check_namespace(text: str, what: str) -> str:
    """Check a Vault namespace, which travels in an HTTP header."""
    if not (text.isascii() and text.isprintable()):
        raise ConfigurationError(f"{what} must be printable ASCII, as it travels in a header")
    _check_segments(text, what)
    return text


def check_token(text: str, what: str) -> str:
    """Check a token, which travels in an HTTP header.

    HTTP libraries put a token that is unfit into their own error messages.
    """
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigurationError(
            f"{what} holds white space, a line break or a character beyond ASCII"
        )
    return text


def check_url(text: str, what: str) -> str:
    """Check the address of a Vault server; return it without a trailing slash.

    It is an http or https URL with a host and, if a proxy wants one, a path prefix. Credentials, a
    query and a fragment are refused.
    """
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigurationError(f"{what} holds white space or a character beyond ASCII")
    if not _UNSAFE_IN_PATH.isdisjoint(text):
        raise ConfigurationError(f"{what} must not hold '%', '?', '#' or a backslash")
    if "@" in text:
        raise ConfigurationError(f"{what} must not hold a user name or password")
    if not text.lower().startswith(("http://", "https://")):
        raise ConfigurationError(f"{what} must begin with http:// or https://")
    parts = split_url(text)
    if parts is None:
        raise ConfigurationError(f"{what} has no valid host and port")
    path = parts.path.rstrip("/").removeprefix("/")
    if path:
        _check_segments(path, what)
    return text.rstrip("/")


def check_urls(text: str, what: str) -> str:
    """Check addresses of Vault servers, with commas between.

    Each is one as for ``check_url``, or ``unix:///path`` for a socket.
    """
    addresses: list[str] = []
    problems: list[str] = []
    for part in text.split(","):
        try:
            addresses.append(_check_address(part.strip(), what))
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError.of(list(dict.fromkeys(problems)))
    return ",".join(addresses)


class HttpUrl(NamedTuple):
    """The parts of an address.

    Attributes:
        scheme: ``http`` or ``https``.
        host: in lower case; an IPv6 address without its brackets.
        port: the port; None if none is given.
        path: what follows, from the slash on.
    """

    scheme: str
    host: str
    port: int | None
    path: str


def split_url(text: str) -> HttpUrl | None:
    """Split an http or https URL; None if its host or port could be read in two ways.

    Parsers differ over ``a.example[::1]``, user names, and numbers such as ``127.1`` or
    ``0177.0.0.1``: one takes for this machine what another connects elsewhere.

    Args:
        text: the URL.
    """
    found = _URL.fullmatch(text)
    if found is None:
        return None
    host, port = found[2].lower(), int(found[3]) if found[3] else None
    if port is not None and not 0 < port <= _HIGHEST_PORT:
        return None
    if not _is_host(host):
        return None
    return HttpUrl(found[1].lower(), host.strip("[]"), port, found[4] or "")


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine itself; one that is malformed is not.

    Args:
        url: an address as for ``check_urls``, or as a redirect names it.
    """
    if url.startswith("unix://"):
        return True
    parts = split_url(url)
    if parts is None:
        return False
    address = _ip_address(parts.host)
    return parts.host == "localhost" if address is None else address.is_loopback


def check_host(text: str, what: str) -> str:
    """Check the name, of ASCII, or the IP address of a host."""
    is_name = "[" not in text and _is_host(text.lower())
    if not is_name and (_ip_address(text) is None or "%" in text):
        raise ConfigurationError(f"{what} must be the name of a host, such as vault.example.com")
    return text


def check_proxy(text: str, what: str) -> str:
    """Check the http or https URL of a proxy, or the word ``environment``."""
    return text if text == "environment" else check_url(text, what)


def check_hosts(text: str, what: str) -> str:
    """Check names of hosts, with or without a port and with commas between."""
    for host in text.split(","):
        check_url(f"https://{host.strip()}", what)
        if "/" in host:
            raise ConfigurationError(f"{what} holds hosts such as vault-2.example.com:8200")
    return ",".join(host.strip() for host in text.split(","))


def _check_address(text: str, what: str) -> str:
    path = text.removeprefix("unix://")
    if path == text:
        url = check_url(text, what)
        if "/v1/" in f"{url.partition('://')[2]}/":
            raise ConfigurationError(
                f"{what} must not hold '/v1', which each request adds: write the address alone, as "
                "https://vault.example.com:8200"
            )
        return url
    if not path.startswith("/") or not path.isprintable():
        raise ConfigurationError(f"{what} must name a socket by its full path, as unix:///run/v")
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigurationError(f"{what} names a socket, and this system has no unix sockets")
    if len(path.encode()) > LONGEST_SOCKET:
        raise ConfigurationError(
            f"{what} must name a socket by a path of at most {LONGEST_SOCKET} bytes"
        )
    return text


def _is_host(host: str) -> bool:
    if host.startswith("["):
        return ":" in host and _ip_address(host.strip("[]")) is not None
    labels = host.removesuffix(".").split(".")
    if len(host) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)):
        return False
    # The resolver reads a name that ends in a number as an IPv4 address, even if it is short,
    # octal or hexadecimal.
    numeric = labels[-1].isdigit() or labels[-1].startswith("0x")
    return not numeric or _ip_address(host) is not None


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _check_segments(text: str, what: str) -> None:
    if any(segment.strip() in {"", ".", ".."} for segment in text.split("/")):
        raise ConfigurationError(f"{what} must not hold an empty, '.' or '..' segment")
