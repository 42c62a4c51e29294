"""Masks secrets in a stream of bytes, also those that two reads split."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator

from secureml.secret_types import SecretBytes, SecretValue

__all__ = ["MASK", "Masker"]

MASK = b"***"

_SHORTEST = 6
"""Bytes that a line, or another form of a secret, has at least: shorter ones are anybody's."""


class Masker:
    """Replaces secrets by ``***`` in the bytes that pass through it.

    Masked are each secret itself, its longer lines, and how JSON, URLs, hex and base64 have it,
    base64 also inside what holds more than the secret. Secrets that overlap are masked as one.

    Args:
        secrets: what to mask; an empty one counts as none.
    """

    def __init__(self, secrets: Iterable[SecretBytes]) -> None:
        self._forms = SecretValue(sorted({form for each in secrets for form in _forms(each)}))
        self._held = SecretBytes(b"")
        self._covered = 0

    def feed(self, data: bytes, *, final: bool = False) -> bytes:
        """Take bytes, and return those that can go out.

        What a secret may begin with is held until it is known whether it does.

        Args:
            data: what was read; may be empty.
            final: whether nothing follows.
        """
        text = self._held.reveal() + data
        settled = len(text) if final else len(text) - self._undecided(text)
        out = []
        position = 0
        for start, end in self._spans(text):
            # The mask of a secret that ends within the bytes that were held.
            has_gone_out = start < self._covered
            if start >= settled and not has_gone_out:
                break
            out.append(text[position:start])
            if not has_gone_out:
                out.append(MASK)
            position = end
        out.append(text[position:settled])
        self._covered = max(0, position - settled)
        self._held = SecretBytes(text[settled:])
        return b"".join(out)

    def _undecided(self, text: bytes) -> int:
        """Return how many bytes at the end may be the beginning of a secret."""
        return max((_overlap(text, form) for form in self._all()), default=0)

    def _spans(self, text: bytes) -> list[tuple[int, int]]:
        """Return where secrets stand, in order; those that overlap are one."""
        found = [(0, self._covered)] if self._covered else []
        for form in self._all():
            start = text.find(form)
            while start >= 0:
                found.append((start, start + len(form)))
                start = text.find(form, start + 1)
        spans: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if spans and start < spans[-1][1]:
                spans[-1] = spans[-1][0], max(end, spans[-1][1])
            else:
                spans.append((start, end))
        return spans

    def _all(self) -> list[bytes]:
        forms: list[bytes] = self._forms.reveal()  # type: ignore[assignment]  # made above
        return forms


def _forms(secret: SecretBytes) -> Iterator[bytes]:
    """Return the secret, and the forms in which programs print it."""
    content = secret.reveal()
    if content:
        yield content
    forms = {*re.split(rb"[\r\n]+", content), *_in_base64(content)}
    forms |= {content.hex().encode(), content.hex().upper().encode()}
    text = content.decode("utf-8", "replace")
    for quoted in (urllib.parse.quote(content, safe=""), urllib.parse.quote_plus(content)):
        forms |= {quoted.encode(), re.sub(r"%..", lambda each: each[0].lower(), quoted).encode()}
    for is_ascii in (True, False):
        forms.add(json.dumps(text, ensure_ascii=is_ascii)[1:-1].encode("utf-8", "replace"))
    yield from (form for form in forms if len(form) >= _SHORTEST)


def _in_base64(content: bytes) -> Iterator[bytes]:
    """Return the content in base64, alone and after one or two other bytes.

    Digits that depend on those bytes are left out.
    """
    alone = base64.b64encode(content).rstrip(b"=")
    for before, first in ((0, 0), (1, 2), (2, 3)):
        digits = base64.b64encode(bytes(before) + content)[first : (before + len(content)) * 8 // 6]
        yield from (digits, digits.translate(_URL_SAFE))
    yield from (alone, alone.translate(_URL_SAFE))


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _overlap(text: bytes, form: bytes) -> int:
    """Return the length of the longest suffix of a text that is a proper prefix of a form."""
    start = max(0, len(text) - len(form) + 1)
    while (start := text.find(form[:1], start)) >= 0:
        if form.startswith(text[start:]):
            return len(text) - start
        start += 1
    return 0
