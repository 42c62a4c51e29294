"""One setting: its type, its limits, and how a value is brought to it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from secureml.errors import ConfigurationError
from secureml.secret_types import SecretText, reveal
from secureml.settings.origins import Problem

__all__ = ["LARGEST", "Setting", "absolute", "collecting", "normalized", "under", "variable_of"]

_PREFIX = "SECUREML_"
_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_NUMBERS = {
    int: (re.compile(r"[+-]?[0-9]{1,18}"), "a whole number such as 5"),
    float: (re.compile(r"[+-]?[0-9]+(\.[0-9]+)?"), "a plain number such as 5 or 0.5"),
}
LARGEST = 1e9
"""A bound for all numbers: clocks and sockets take no more than 292 years of seconds."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = {
    "bool": "a boolean",
    "date": "a date",
    "datetime": "a date and time",
    "dict": "a table",
    "float": "a number",
    "int": "a number",
    "list": "an array",
    "NoneType": "nothing",
    "SecretText": "text",
    "str": "text",
    "time": "a time",
}
"""How a message tells a type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One declared setting.

    Attributes:
        name: as in the settings file and in Python.
        kind: ``str``, ``bool``, ``int``, ``float``, `SecretText`, or what ``read`` returns.
        optional: whether it may be None.
        default: the value if no layer sets one.
        doc: what it is for, in one line.
        allowed: the values it may take; empty if any will do.
        minimum: the least number allowed.
        above: a number that the value must exceed.
        check: refuses text of the wrong form, or returns it normalized.
        is_path: names a file or folder; it becomes absolute, ``~/`` is the home folder.
        group: the name that all settings of one meaning share; the strongest layer that sets any
            of them decides all of them.
        exclusive: whether one layer may set no other setting of the group.
        vault_may_set: whether the settings record in Vault may set it.
        read: reads a table of a settings file; a stronger layer then adds to the weaker ones
            instead of replacing them.
    """

    name: str
    kind: type
    optional: bool
    default: object
    doc: str
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    above: float | None = None
    check: Callable[[str, str], str] | None = None
    is_path: bool = False
    group: str | None = None
    exclusive: bool = False
    vault_may_set: bool = False
    read: Callable[[object, str], object] | None = None

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return variable_of(self.name)

    @property
    def secret(self) -> bool:
        """Whether its value is never shown."""
        return self.kind is SecretText

    def parse(self, text: str) -> object:
        """Read the setting from text, as an environment variable or Vault's command line has it.

        Args:
            text: ``true``, ``false``, ``1``, ``0``, ``yes``, ``no``, ``on`` or ``off`` for a
                boolean, plain digits for a number, and anything for text, which stays as it is.

        Raises:
            ConfigurationError: the text does not fit. The message doesn't repeat it.
        """
        if self.read is not None:
            raise ConfigurationError(f"{self.name} is a table: write it in a settings file")
        if self.kind is bool:
            if text.lower() not in _BOOLEANS:
                raise ConfigurationError(f"{self.name} must be true or false")
            return _BOOLEANS[text.lower()]
        if self.kind in _NUMBERS:
            number, such = _NUMBERS[self.kind]
            if not number.fullmatch(text):
                raise ConfigurationError(f"{self.name} must be {such}")
            return self.convert(self.kind(text))
        return self.convert(text)

    def convert(self, value: object, folder: Path | None = None) -> object:
        """Check a value and bring it to the setting's type; nothing is cast to another one.

        Args:
            value: what a settings file, a host application or an argument holds.
            folder: where a relative path starts; the working directory by default.

        Raises:
            ConfigurationError: the value does not fit. The message doesn't repeat it.
        """
        value = reveal(value)
        if self.read is None:
            return self._converted(value, folder)
        try:
            return self.read(value, self.name)
        except ConfigurationError:
            raise
        except (ValueError, RecursionError):
            pass
        raise ConfigurationError(f"{self.name} holds what no settings file can")

    def _converted(self, value: object, folder: Path | None) -> object:
        if value is None and self.optional:
            return None
        if self.kind is bool and isinstance(value, bool):
            return value
        if self.kind is int and isinstance(value, int) and not isinstance(value, bool):
            return self._within_limits(value)
        if self.kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return self._within_limits(self._finite(value))
        if self.is_path and isinstance(value, os.PathLike):
            value = os.fspath(value)
        if self.kind is str and isinstance(value, str):
            return self._text(value, folder)
        if self.kind is SecretText and isinstance(value, str):
            return SecretText(self._text(value, folder))
        expected = "a whole number" if self.kind is int else _WORDS[self.kind.__name__]
        found = _WORDS.get(type(value).__name__, type(value).__name__)
        raise ConfigurationError(f"{self.name} must be {expected}, and is {found}")

    def shown(self, value: object) -> str:
        """Return a value of this setting as ``settings show`` prints it."""
        if value is None:
            return "<not set>"
        if self.secret:
            return "<hidden>"
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value).removesuffix(".0") if isinstance(value, float) else str(value)

    def _finite(self, value: float) -> float:
        with suppress(OverflowError):
            if math.isfinite(value):
                return float(value)
        raise ConfigurationError(f"{self.name} must be a finite number")

    def _within_limits(self, number: float) -> float:
        if self.minimum is not None and number < self.minimum:
            raise ConfigurationError(f"{self.name} must be {self.minimum:g} or more")
        if self.above is not None and number <= self.above:
            raise ConfigurationError(f"{self.name} must be more than {self.above:g}")
        if number > LARGEST:
            raise ConfigurationError(f"{self.name} must be {LARGEST:.0f} or less")
        return number

    def _text(self, text: str, folder: Path | None) -> str:
        if not text:
            raise ConfigurationError(f"{self.name} is empty; leave it out instead")
        if self.allowed and text not in self.allowed:
            raise ConfigurationError(f"{self.name} must be one of: {', '.join(self.allowed)}")
        if self.check is not None:
            return self.check(text, self.name)
        if "\0" in text:
            raise ConfigurationError(f"{self.name} holds a NUL character")
        if _SURROGATE.search(text):
            raise ConfigurationError(f"{self.name} is not UTF-8 text")
        return absolute(text, self.name, folder) if self.is_path else text


@contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Add what is wrong inside the block to a list of problems, so that all are told at once."""
    try:
        yield
    except ConfigurationError as error:
        problems += error.problems


@contextmanager
def under(key: str) -> Iterator[None]:
    """Have the problems inside the block be those of what stands under a key of a table."""
    problems: list[str] = []
    with collecting(problems):
        yield
    if problems:
        raise ConfigurationError.of([Problem.of(problem).under(key) for problem in problems])


def absolute(path: str, what: str, folder: Path | None = None) -> str:
    """Return a path from the root on, with ``~`` taken for the home folder if there is one.

    Args:
        path: the path.
        what: what names it, for the message.
        folder: where a relative path starts; the working directory by default.

    Raises:
        ConfigurationError: the path is relative and the working directory is gone.
    """
    path = os.path.expanduser(path)  # noqa: PTH111 - pathlib's needs a home folder
    if os.path.isabs(path):  # noqa: PTH117 - pathlib's changes the spelling
        return path
    try:
        start = str(folder or Path.cwd())
    except OSError:
        start = ""
    if not start:
        raise ConfigurationError(
            f"{what}: a relative path starts at the working directory, which doesn't exist any more"
        )
    return os.path.join(start, path)  # noqa: PTH118 - likewise


def variable_of(name: str) -> str:
    """Return the environment variable that stands for a setting or a secret.

    Args:
        name: such as ``api-key``, which gives ``SECUREML_API_KEY``.
    """
    return _PREFIX + normalized(name)


def normalized(name: str) -> str:
    """Return the name of a setting or a secret as it stands in a variable's name."""
    return re.sub(r"[-./]", "_", name).upper()
