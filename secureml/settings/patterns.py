"""The checks of text as patterns, for the JSON schema; Python and ECMAScript read them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from secureml.settings import checks

__all__ = ["END", "NO_NUL", "PATTERNS", "PROTECTED_URLS", "SECRET_REFERENCE"]

END = r"(?![\s\S])"
"""The end of the text; in Python ``$`` also matches before a final line break."""

NO_NUL = r"^[^\x00]*$"

_PRINTS = r"^(?![\s\S]*[\x00-\x1f\x7f])"
_SEGMENTS = rf"(?!([\s\S]*/)? *\.{{0,2}} *(/|{END}))"

_LABEL = "[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
_NUMERIC = rf"([0-9]+|0[xX][0-9A-Za-z_-]*)\.?([:/,\s]|{END})"
_NAME = rf"(?![^:/,\s]{{254}})({_LABEL}\.)*(?!{_NUMERIC}){_LABEL}\.?"
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IP4 = rf"{_BYTE}(\.{_BYTE}){{3}}"
_IP6 = "[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
_HOST = rf"({_NAME}|{_IP4}|\[{_IP6}\])"
_LOOPBACK = rf"([Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt]|127(\.{_BYTE}){{3}}|\[::1\])"
_PORT = (
    "(:(?=[0-9]{1,5}(?![0-9]))0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}"
    "|655[0-2][0-9]|6553[0-5]))?"
)
_HTTP, _HTTPS = "[Hh][Tt][Tt][Pp]", "[Hh][Tt][Tt][Pp][Ss]"
_SOCKET = rf"unix:///[^,\x00-\x1f\x7f]{{0,{checks.LONGEST_SOCKET - 1}}}"


def _url(scheme: str, host: str = _HOST, reserved: str = "v1", comma: str = "") -> str:
    """Return the pattern of a URL in whose path no segment is reserved, ``.`` or ``..``."""
    character = rf"[{comma}!\x22$&-+\-.0->A-\[\]-~]"
    segment = rf"(?!(\.|\.\.|{reserved})(/|,|\s|{END})){character}+"
    return rf"{scheme}://{host}{_PORT}(/{segment})*/*"


def _list(element: str) -> str:
    return rf"^\s*({element})\s*(,\s*({element})\s*)*{END}"


PATTERNS: Mapping[Callable[[str, str], str], str] = MappingProxyType(
    {
        checks.check_host: rf"^({_NAME}|{_IP4}|{_IP6}){END}",
        checks.check_hosts: _list(_HOST + _PORT),
        checks.check_name: rf"{_PRINTS}{_SEGMENTS}",
        checks.check_namespace: rf"^(?![\s\S]*[^ -~]){_SEGMENTS}",
        checks.check_path: rf"{_PRINTS}(?![\s\S]*[%?#\\]){_SEGMENTS}",
        checks.check_proxy: rf"^(environment|{_url(f'{_HTTP}[Ss]?', reserved='', comma=',')}){END}",
        checks.check_token: r"^(?![\s\S]*[^!-~])",
        checks.check_transit_key: rf"^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?{END}",
        checks.check_urls: _list(f"{_url(f'{_HTTP}[Ss]?')}|{_SOCKET}"),
    }
)
"""What each check lets through."""

SECRET_REFERENCE = (
    rf"^(?![^#]*[\x00-\x1f\x7f%?\\])(?!([^#]*/)? *\.{{0,2}} *(/|#|{END}))[^#]+(#[\s\S]+)?{END}"
)
"""The name of a secret, and behind ``#`` that of a field."""

PROTECTED_URLS = _list(f"{_url(_HTTPS)}|{_url(_HTTP, _LOOPBACK)}|{_SOCKET}")
"""Addresses of Vault to which nothing travels unencrypted."""
