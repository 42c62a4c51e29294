"""Envelopes: data keys wrapped under a transit key, which never leaves Vault."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from secureml.errors import ConfigurationError, KeyMaterialError
from secureml.settings import check_path, check_transit_key

__all__ = ["Envelope"]

_WRAPPED = re.compile(r"vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A data key, encrypted under a key of Vault's transit engine.

    It is no secret: only who may decrypt with the transit key can open it.

    Args:
        wrapped: the data key as the engine encrypted it, such as ``vault:v1:...``.
        transit_key: the transit key that opens it, the engine's mount before its name.

    Raises:
        KeyMaterialError: a field is not what the engine gives or takes.
    """

    wrapped: str = field(repr=False)
    transit_key: str

    def __post_init__(self) -> None:
        if not isinstance(self.wrapped, str) or not _WRAPPED.fullmatch(self.wrapped):
            raise KeyMaterialError("the wrapped key is not text that Vault's transit engine gives")
        if not isinstance(self.transit_key, str) or not _is_transit_key(self.transit_key):
            raise KeyMaterialError("the wrapped key does not name a key of Vault's transit engine")

    @property
    def mount(self) -> str:
        """Where the transit engine is mounted."""
        return self.transit_key.rpartition("/")[0]

    @property
    def transit_version(self) -> int:
        """The version of the transit key that it is wrapped under."""
        return int(self.wrapped.split(":")[1].removeprefix("v"))


def _is_transit_key(text: str) -> bool:
    mount, _, name = text.rpartition("/")
    try:
        check_path(mount, "the mount")
        check_transit_key(name, "the transit key")
    except ConfigurationError:
        return False
    return True
