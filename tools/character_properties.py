"""Write the frozen properties of characters (`pseudonymization/tables/character_properties.txt`).

Run once per version of the format regex, by the oldest Python that the first version ran on (3.11,
of Unicode 14), with the packages unicodedata2 and regex of one and the same Unicode version:
`python tools/character_properties.py > TABLE`. A new table is a new version of the
format: what the old one encrypted can't be recovered with it.
"""

from __future__ import annotations

import _sre
import unicodedata
from collections.abc import Iterable
from re import _casefix

import regex
import unicodedata2
from character_classes import spans
from regex import _regex

EVERY = range(0x110000)
CASELESS = regex.IGNORECASE | regex.UNICODE
SPACES = ("B", "S", "WS")
DOTTED = 0x130  # its small letter is i, says re, though not the table of case folding


def decimal(code: int) -> bool:
    """Tell what \\d matches."""
    return unicodedata2.category(chr(code)) == "Nd"


def word(code: int) -> bool:
    """Tell what \\w matches beside the underscore: letters and numbers, as str.isalnum has them."""
    letter = unicodedata2.category(chr(code)).startswith("L")
    return letter or unicodedata2.numeric(chr(code), None) is not None


def space(code: int) -> bool:
    """Tell what \\s matches."""
    zs = unicodedata2.category(chr(code)) == "Zs"
    return zs or unicodedata2.bidirectional(chr(code)) in SPACES


def case(code: int) -> int:
    """Return the first of the characters that differ from one in case alone."""
    return ord("I") if code == DOTTED else min(_regex.get_all_cases(CASELESS, code))


def cases_before() -> dict[int, int]:
    """Return the same as the interpreter's re has it."""
    groups: dict[int, list[int]] = {}
    for code in EVERY:
        small = _sre.unicode_tolower(code)
        alike = min((small, *_casefix._EXTRA_CASES.get(small, ())))
        groups.setdefault(alike, []).append(code)
    return {code: group[0] for group in groups.values() for code in group}


def changed(code: int) -> bool:
    """Tell whether Unicode 14 said something else of a character."""
    one = chr(code)
    before = unicodedata.category(one) != "Cn", one.isdecimal(), one.isalnum(), one.isspace()
    after = unicodedata2.category(one) != "Cn", decimal(code), word(code), space(code)
    return before != after or BEFORE[code] != case(code)


def shifts(pairs: Iterable[tuple[int, int]]) -> str:
    """Write what is folded, and behind each range how far down."""
    by_distance: dict[int, list[int]] = {}
    for code, first in pairs:
        if code != first:
            by_distance.setdefault(code - first, []).append(code)
    parts = []
    for distance, codes in by_distance.items():
        parts += [f"{span}+{distance:X}" for span in spans(codes).split()]
    return " ".join(parts)


BEFORE = cases_before()


def main() -> None:
    """Print the table."""
    print("# Properties of characters that the format regex/2 goes by. Frozen: it is a part of the")
    print("# format. One a line: its name, then code points in hexadecimal, FIRST-LAST/STEP; case:")
    print(
        "# +DISTANCE down to the first of the characters that differ in case alone; changed: what"
    )
    print("# Unicode 14 said something else of, or nothing.")
    print(f"# Unicode {unicodedata2.unidata_version}")
    for name, holds in (("decimal", decimal), ("word", word), ("space", space)):
        print(f"{name}: {spans([code for code in EVERY if holds(code)])}")
    print(f"case: {shifts((code, case(code)) for code in EVERY)}")
    print(f"changed: {spans([code for code in EVERY if changed(code)])}")


if __name__ == "__main__":
    main()
