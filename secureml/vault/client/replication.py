"""How far the data of a cluster had come, so that no later answer is older than an earlier one."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from secureml.forksafe import ForkSafeLock

if TYPE_CHECKING:
    from requests import Response

__all__ = ["ReplicationIndex", "index_of"]

_INDEX = "X-Vault-Index"
_FORM = re.compile("[A-Za-z0-9+/=_-]{1,256}")


class ReplicationIndex:
    """The newest index that a cluster told.

    OpenBao from 2.7 on and Vault Enterprise tell one with each answer. A standby that is told it
    and has not come so far forwards the request to the active node.
    """

    def __init__(self) -> None:
        self._text = ""
        self._lock = ForkSafeLock()

    def headers(self) -> Mapping[str, str]:
        """Return what tells a standby the index."""
        if not self._text:
            return {}
        return {_INDEX: self._text, "X-Vault-Inconsistent": "forward-active-node"}

    def saw(self, response: Response, **_: Any) -> None:
        """Remember the index of an answer, if it is newer or another cluster's."""
        text = response.headers.get(_INDEX, "")
        if not _FORM.fullmatch(text):
            return
        cluster, position = _parsed(text)
        with self._lock.mutex:
            last, reached = _parsed(self._text)
            if cluster != last or position > reached:
                self._text = text


_of_addresses: dict[str, ReplicationIndex] = {}


def index_of(addresses: str) -> ReplicationIndex:
    """Return the index of a cluster, which all sessions of this process and its children share.

    Args:
        addresses: the setting ``vault_url``.
    """
    return _of_addresses.setdefault(addresses, ReplicationIndex())


def _parsed(index: str) -> tuple[str, list[int]]:
    """Return the cluster and its position; an index of an unknown form is a cluster by itself."""
    with suppress(ValueError, KeyError, TypeError):
        text = base64.b64decode(index, validate=True).decode()
        if text.startswith("{"):
            found = json.loads(text)
            return str(found["cluster"]), [int(found["value"])]
        _, cluster, local, replicated, *_ = text.split(":")
        return cluster, [int(local), int(replicated)]
    return index, []
