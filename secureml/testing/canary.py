"""A secret that must not show up, and what finds it in any spelling."""

from __future__ import annotations

import base64
import logging
import secrets
import struct
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

import pytest

from secureml.secret_types import SecretBytes, SecretText

__all__ = ["SPELLINGS", "Canary", "Detector", "watched"]


def _base64_within(octets: bytes) -> str:
    """Spell octets as they are inside longer ones, such as a user's name and a password."""
    return " ".join(base64.b64encode(bytes(before) + octets)[4:-4].decode() for before in (1, 2))


SPELLINGS: dict[str, tuple[Callable[[bytes], str], int]] = {
    "bytes": (lambda octets: repr(octets)[2:-1], 10),
    "text": (lambda octets: repr(octets.decode("latin-1"))[1:-1], 10),
    "hex": (bytes.hex, 12),
    "upper-case hex": (lambda octets: octets.hex().upper(), 12),
    "spaced hex": (lambda octets: octets.hex(" "), 14),
    "base64": (lambda octets: base64.b64encode(octets).decode().rstrip("="), 10),
    "url-safe base64": (lambda octets: base64.urlsafe_b64encode(octets).decode().rstrip("="), 10),
    "base64 within": (_base64_within, 10),
    "URL-encoded": (lambda octets: quote(octets, safe=""), 14),
    "decimal": (lambda octets: str(int.from_bytes(octets, "big")), 14),
    "little-endian decimal": (lambda octets: str(int.from_bytes(octets, "little")), 14),
    "words": (
        lambda octets: " ".join(map(str, struct.unpack_from(f">{len(octets) // 8}Q", octets))),
        14,
    ),
    "list": (lambda octets: str(list(octets))[1:-1], 16),
}
"""How octets are written, and of how many characters a part of that gives them away.

Reports cut long values, so a part has to be enough; it is so long that chance does not make it.
"""


class Detector:
    """Finds octets in any of their spellings, whole or cut.

    Args:
        octets: what to find.
        raw: of how many octets a part is found that is not spelled at all.
    """

    def __init__(self, octets: Iterable[bytes], *, raw: int = 8) -> None:
        octets = [*octets]
        self._parts = {
            name: set().union(*(_windows(spell(each), length) for each in octets))
            for name, (spell, length) in SPELLINGS.items()
        }
        self._raw_length = raw
        self._raw = set().union(*(_windows(each, raw) for each in octets))

    def spellings_in(self, shown: str | bytes) -> set[str]:
        """Return the spellings in which some of the octets appear.

        Args:
            shown: what somebody can read.
        """
        octets = _octets(shown)
        text = octets.decode("utf-8", "replace")
        # Reports wrap long lines.
        texts = {text, text.replace("\n", "")}
        windows = {
            length: set().union(*(_windows(each, length) for each in texts))
            for length in {length for _, length in SPELLINGS.values()}
        }
        found = {
            name
            for name, (_, length) in SPELLINGS.items()
            if not self._parts[name].isdisjoint(windows[length])
        }
        is_raw = not self._raw.isdisjoint(_windows(octets, self._raw_length))
        return found | {"raw"} if is_raw else found


def _windows(sequence: Any, length: int) -> set[Any]:
    return {sequence[at : at + length] for at in range(len(sequence) - length + 1)}


class Canary:
    """A secret for one test, and all that the test has shown so far.

    Args:
        capture: pytest's fixture that captures the output.
    """

    def __init__(self, capture: pytest.CaptureFixture[Any]) -> None:
        # With signs that have to be escaped in URLs, as passwords have them.
        self._text = SecretText(f"{secrets.token_hex(8)}/{secrets.token_hex(8)}+&%")
        self._key = SecretBytes(secrets.token_bytes(32))
        self._detector = Detector([self.text.encode(), self.key])
        self._capture = capture
        self._read = capture.readouterr
        self._output: dict[str, list[Any]] = {"out": [], "err": []}
        self._records: list[logging.LogRecord] = []
        self._warnings: list[tuple[str, str]] = []

    @property
    def text(self) -> str:
        """The secret as text, for a password or a token."""
        return self._text.reveal()

    @property
    def key(self) -> bytes:
        """The secret as a key of 32 bytes."""
        return self._key.reveal()

    def check(self) -> None:
        """Fail if the secret has shown up since the last check; tell where, and in which form."""
        read = self._read_output()
        try:
            self.fail_if_shown()
        finally:
            # Give pytest the output for its report, without the lines that show the secret.
            for stream, text in ((sys.stdout, read.out), (sys.stderr, read.err)):
                stream.write(self._redacted(text))

    def fail_if_shown(self) -> None:
        """Fail as ``check`` does, without giving the output back."""
        self._read_output()
        shown = [*self._lines(), *self._warnings, *map(_shown_by, self._records)]
        for kept in (*self._output.values(), self._warnings, self._records):
            kept.clear()
        found = [
            f"{where} ({', '.join(sorted(spellings))})"
            for where, text in shown
            if (spellings := self._detector.spellings_in(text))
        ]
        if found:
            pytest.fail(f"the canary has shown up in {'; '.join(found)}", pytrace=False)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record what is logged, written and warned of in a ``with`` block."""
        make_record, show_warning = logging.getLogRecordFactory(), warnings.showwarning

        # Handlers and propagation are what a program configures itself.
        def record(*args: Any, **options: Any) -> logging.LogRecord:
            made = make_record(*args, **options)
            self._records.append(made)
            return made

        def show(message: Any, category: Any, filename: str, *args: Any, **options: Any) -> None:
            self._warnings.append((f"a {category.__name__} of {filename}", str(message)))
            show_warning(message, category, filename, *args, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(warnings, "showwarning", show)
            # What the test reads itself is not there to be read at its end.
            patch.setattr(self._capture, "readouterr", self._read_output)
            logging.setLogRecordFactory(record)
            try:
                yield
            finally:
                logging.setLogRecordFactory(make_record)

    def _read_output(self) -> Any:
        read = self._read()
        for name, texts in self._output.items():
            texts.append(getattr(read, name))
        return read

    def _lines(self) -> Iterator[tuple[str, str]]:
        for name, texts in self._output.items():
            written = b"".join(map(_octets, texts)).decode("utf-8", "surrogateescape")
            if self._detector.spellings_in(written):
                lines = [
                    (f"std{name}, line {number}", line)
                    for number, line in enumerate(written.split("\n"), 1)
                    if self._detector.spellings_in(line)
                ]
                # A secret that is wrapped is in no single line.
                yield from lines or [(f"std{name}", written)]

    def _redacted(self, text: str | bytes) -> str:
        lines = _octets(text).decode("utf-8", "replace").split("\n")
        return "\n".join(
            "[the canary]" if self._detector.spellings_in(line) else line for line in lines
        )


@contextmanager
def watched(capture: pytest.CaptureFixture[Any]) -> Iterator[Canary]:
    """Make a canary, watch what the test shows inside a ``with`` block, and check it at the end.

    Args:
        capture: pytest's fixture that captures the output.
    """
    canary = Canary(capture)
    with canary.watching():
        yield canary
    canary.fail_if_shown()


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


_STANDARD = frozenset(vars(logging.makeLogRecord({})))


def _shown_by(record: logging.LogRecord) -> tuple[str, str]:
    """Return where a record was made, and all that a handler may write of it."""
    texts = [repr({name: value for name, value in vars(record).items() if name not in _STANDARD})]
    # Logging reports a message that does not fit its arguments on stderr.
    with suppress(TypeError, ValueError):
        texts.append(record.getMessage())
    if record.exc_info:
        texts += traceback.format_exception(*record.exc_info)
    where = f"a log record of {record.name} ({record.filename}, line {record.lineno})"
    return where, "\n".join([*texts, record.stack_info or ""])
