"""Registry of formats and strategies: names, classes, and options with their types.

Settings check rules with it and start without numpy, so a class is named here and imported when it
is first used. Other packages register theirs as entry points.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TypeVar

from secureml.errors import PseudonymizationError

__all__ = ["FORMATS", "STRATEGIES", "VENDOR_NAME", "Entry", "Registry"]

_Base = TypeVar("_Base")
_TEXT: tuple[type, ...] = (str,)
_COUNT: tuple[type, ...] = (int,)
_NUMBER: tuple[type, ...] = (int, str)
_TEXTS: tuple[type, ...] = (str, list)


@dataclass(frozen=True, slots=True)
class Entry:
    """A built-in format or strategy.

    Args:
        location: its module, in the package of formats or of strategies, and its class.
        options: the allowed types of each option.
        argument: the option that is written after the format's short name and a colon, if any.
    """

    location: str
    options: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    argument: str | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """The built-in formats or strategies, and those of other packages.

    Args:
        what: "format" or "strategy".
        plural: the last part of the package of the built-in ones, and of the group of entry points
            in which other packages register theirs.
        built_in: by name; a name or version that was once here stays.
    """

    what: str
    plural: str
    built_in: Mapping[str, Entry]

    def load(self, name: str, base: type[_Base]) -> type[_Base]:
        """Import a class.

        Args:
            name: that of a built-in one, or ``vendor:name/1`` of another package.
            base: what it must be a subclass of.

        Raises:
            PseudonymizationError: there is none of this name, or its package is broken.
        """
        if name in self.built_in:
            location = f"secureml.pseudonymization.{self.plural}.{self.built_in[name].location}"
            kind: type[_Base] = resolve_name(location)
            return kind
        if not VENDOR_NAME.fullmatch(name):
            raise PseudonymizationError(f"this version has no {self.what} {name!r}")
        from importlib.metadata import entry_points

        group = f"secureml.{self.plural}"
        points = entry_points(group=group, name=name)
        packages = ", ".join(sorted(point.dist.name for point in points if point.dist))
        if not points:
            raise PseudonymizationError(
                f"the {self.what} {name!r} is not installed: install the package of"
                f" {name.partition(':')[0]!r} that registers it as an entry point of {group!r}"
            )
        if len(points) > 1:
            raise PseudonymizationError(
                f"the {self.what} {name!r} is registered by several packages: {packages}; keep one"
            )
        broken = f"the {self.what} {name!r} of the package {packages} can't be used"
        point = next(iter(points))
        found: object = None
        problem = ""
        try:
            found = point.load()
        except ImportError as error:
            problem = f"{type(error).__name__}: {error}"
        except Exception as error:  # the package's own code ran, and may have raised anything
            # Its message and its frames are the package's, and may hold what no log should.
            problem = f"{type(error).__name__} at {point.value}"
        if problem:
            raise PseudonymizationError(f"{broken}: {problem}")
        if not isinstance(found, type) or not issubclass(found, base):
            raise PseudonymizationError(f"{broken}: {found!r} is not a subclass of {base.__name__}")
        return found


FORMATS = Registry(
    "format",
    "formats",
    {
        "alphabet/1": Entry("characters:AlphabetFormat", {"characters": _TEXT}, "characters"),
        "class/1": Entry("classes:ClassFormat"),
        "credit_card/1": Entry(
            "credit_card:CreditCardFormat", {"keep_first": _COUNT, "keep_last": _COUNT}
        ),
        "date/1": Entry("dates:DateFormat", {"start": _TEXT, "end": _TEXT, "written": _TEXTS}),
        "datetime/1": Entry(
            "dates:DateTimeFormat",
            {"start": _TEXT, "end": _TEXT, "resolution": _TEXT, "written": _TEXTS},
        ),
        "decimal/1": Entry(
            "decimals:DecimalFormat",
            {"scale": _COUNT, "minimum": _NUMBER, "maximum": _NUMBER},
        ),
        "digits/1": Entry("characters:DigitsFormat"),
        "email/1": Entry("email:EmailFormat", {"local": _TEXT, "host": _TEXT}),
        "iban/1": Entry("iban:IbanFormat"),
        "integer/1": Entry("integers:IntegerFormat", {"minimum": _NUMBER, "maximum": _NUMBER}),
        "ipv4/1": Entry("addresses:IPv4Format", {"keep_prefix": _COUNT}),
        "ipv6/1": Entry("addresses:IPv6Format", {"keep_prefix": _COUNT}),
        "letters/1": Entry("characters:LettersFormat"),
        "phone/1": Entry("phone:PhoneFormat", {"region": _TEXT}),
        "regex/1": Entry("regex_1:FirstRegexFormat", {"pattern": _TEXT}, "pattern"),
        "regex/2": Entry("regex:RegexFormat", {"pattern": _TEXT}, "pattern"),
        "ssn/1": Entry("ssn:SsnFormat"),
        "uuid/1": Entry("uuids:UuidFormat"),
    },
)
"""Formats, by name with version; of several versions, the newest is the last."""

STRATEGIES = Registry(
    "strategy",
    "strategies",
    {
        "fpe": Entry("fpe:Fpe"),
        "token": Entry("token:Token", {"prefix": _TEXT, "encoding": _TEXT}),
        "hash": Entry("hash:Hash", {"bits": _COUNT, "encoding": _TEXT}),
        "mask": Entry(
            "one_way:Mask",
            {"keep_first": _COUNT, "keep_last": _COUNT, "character": _TEXT},
        ),
        "redact": Entry("one_way:Redact", {"replacement": _TEXT}),
        "null": Entry("one_way:Null"),
        "custom": Entry("one_way:Custom"),
    },
)
"""Strategies, by name; their versions stand in the algorithms that manifests hold."""

_BUILT_IN = "|".join(name.partition("/")[0] for name in FORMATS.built_in)
_WORD = "[a-z0-9][a-z0-9._-]*"
VENDOR_NAME = re.compile(f"(?!({_BUILT_IN}):){_WORD}:{_WORD}/[1-9][0-9]*")
"""Names in other packages. ``alphabet:ab/1`` is a format with its argument instead."""
