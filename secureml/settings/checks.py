"""What the text of a setting may look like, where it ends up in a request to Vault."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from secureml.errors import ConfigurationError

__all__ = [
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
]

_UNSAFE_IN_PATH = frozenset("%?#\\")
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
    """Return the name of a user or a role, which may travel in a URL, or refuse it.

    Args:
        text: the name; ``/``, ``@``, a backslash and spaces may be in it.
        what: what the text is, for the message.

    Raises:
        ConfigurationError: it holds a control character, or between two ``/`` nothing, ``.`` or
            ``..``.
    """
    if not text.isprintable():
        raise ConfigurationError(f"{what} holds a control character or one that does not print")
    _check_segments(text, what)
    return text


def check_transit_key(text: str, what: str) -> str:
    """Return the name of a key of Vault's transit engine, or refuse it.

    Args:
        text: the name, without the engine's mount.
        what: what the text is, for the message.

    Raises:
        ConfigurationError: it holds a character that the engine does not take.
    """
    if not _TRANSIT_KEY.fullmatch(text):
        raise ConfigurationError(
            f"{what} must be letters of ASCII, digits and '_', and within it also '-' and '.'"
        )
    return text


def check_namespace(text: str, what: str) -> str:
    """Return a Vault namespace, which travels in an HTTP header, or refuse it.

    Args:
        text: segments separated by ``/``.
        what: what the text is, for the message.

    Raises:
        ConfigurationError: a segment is empty, ``.`` or ``..``, or a character is not ASCII.
    """
    if not (text.isascii() and text.isprintable()):
        raise ConfigurationError(f"{what} must be printable ASCII, as it travels in a header")
    _check_segments(text, what)
    return text


def check_token(text: str, what: str) -> str:
    """Return a token fit for an HTTP header, or refuse it.

    Args:
        text: the token; HTTP libraries put one that is unfit into their own error messages.
        what: what the text is, for the message.

    Raises:
        ConfigurationError: it holds white space, a line break or a character beyond ASCII.
    """
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigurationError(
            f"{what} holds white space, a line break or a character beyond ASCII"
        )
    return text


def check_url(text: str, what: str) -> str:
    """Return the address of a Vault server without a trailing slash, or refuse it.

    Args:
        text: an http or https URL with a host and, where a proxy wants one, a path prefix.
        what: what the text is, for the message.

    Raises:
        ConfigurationError: another scheme, no host, an impossible port, credentials, a query or
            a fragment. The message doesn't repeat the text, which may hold credentials.
    """
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigurationError(f"{what} holds white space or a character beyond ASCII")
    if not _UNSAFE_IN_PATH.isdisjoint(text):
        raise ConfigurationError(f"{what} must not hold '%', '?', '#' or a backslash")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, 0
    if "@" in text:
        raise ConfigurationError(f"{what} must not hold a user name or password")
    if not text.lower().startswith(("http://", "https://")):
        raise ConfigurationError(f"{what} must begin with http:// or https://")
    if not host or port == 0:
        raise ConfigurationError(f"{what} has no valid host and port")
    url = text.rstrip("/")
    path = url.partition("://")[2].partition("/")[2]
    if path:
        _check_segments(path, what)
    return url


def check_urls(text: str, what: str) -> str:
    """Return the addresses of Vault servers, or refuse them.

    Args:
        text: one address as for ``check_url``, or ``unix:///path`` for a socket; or several with
            commas between.
        what: what the text is, for the message.

    Raises:
        ConfigurationError: one of them is no such address.
    """
    return ",".join(_check_address(part.strip(), what) for part in text.split(","))


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine itself.

    Args:
        url: an address that ``check_urls`` has passed.
    """
    host = urlsplit(url).hostname or ""
    if url.startswith("unix://") or host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_proxy(text: str, what: str) -> str:
    """Return the address of a proxy, or ``environment``, or refuse it.

    Args:
        text: an http or https URL, or the word ``environment``.
        what: what the text is, for the message.

    Raises:
        ConfigurationError: it is neither.
    """
    return text if text == "environment" else check_url(text, what)


def check_hosts(text: str, what: str) -> str:
    """Return names of hosts, with or without a port and with commas between, or refuse them.

    Args:
        text: the names.
        what: what the text is, for the message.

    Raises:
        ConfigurationError: one of them is no name of a host.
    """
    for host in text.split(","):
        check_url(f"https://{host.strip()}", what)
        if "/" in host:
            raise ConfigurationError(f"{what} holds hosts such as vault-2.example.com:8200")
    return ",".join(host.strip() for host in text.split(","))


def _check_address(text: str, what: str) -> str:
    path = text.removeprefix("unix://")
    if path == text:
        return check_url(text, what)
    if not path.startswith("/") or not path.isprintable():
        raise ConfigurationError(f"{what} must name a socket by its full path, as unix:///run/v")
    return text


def _check_segments(text: str, what: str) -> None:
    if any(segment.strip() in {"", ".", ".."} for segment in text.split("/")):
        raise ConfigurationError(f"{what} must not hold an empty, '.' or '..' segment")
