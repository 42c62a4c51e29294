"""Write the frozen table of character classes (`pseudonymization/tables/character_classes.txt`).

Run once per version of the format, with the packages fonttools and unicodedata2 of one and the
same Unicode version: `python tools/character_classes.py > TABLE`. A new table
is a new version of the format: what the old one encrypted can't be recovered with it.
"""

from __future__ import annotations

import unicodedata2
from fontTools.unicodedata import block, script

LARGEST = 1 << 15
KINDS = {
    "Nd": "digit",
    "Lu": "upper",
    "Ll": "lower",
    "Lo": "letter",
    "Lt": "letter",
    "Lm": "letter",
}
ASCII = {"Lu": "ASCII upper", "Ll": "ASCII lower", "Nd": "ASCII digit"}

# The letters in everyday use of scripts whose Unicode blocks hold many rare ones as well, so that
# an ordinary letter becomes another ordinary letter. Inclusive ranges of code points.
ORDINARY = {
    "Latin Extended-A and Romanian": [(0x100, 0x17F), (0x218, 0x21B)],
    "Vietnamese": [(0x1EA0, 0x1EF9), (0x1A0, 0x1A1), (0x1AF, 0x1B0)],
    "Greek": [(0x386, 0x386), (0x388, 0x3CE)],
    "Cyrillic": [(0x400, 0x45F)],
    "Armenian": [(0x531, 0x556), (0x561, 0x586)],
    "Hebrew": [(0x5D0, 0x5EA)],
    "Arabic": [(0x621, 0x63A), (0x641, 0x64A)],
    "Persian and Urdu": [(code, code) for code in map(ord, "ٹپچڈڑژکگںھہۃیےۓ")],
    "Georgian": [(0x10D0, 0x10F0), (0x1C90, 0x1CB0)],
}
EVERYDAY = {
    code: name
    for name, spans in ORDINARY.items()
    for first, last in spans
    for code in range(first, last + 1)
}


def class_name(code: int) -> str | None:
    """Return the name of the class of a code point, or None where the character is kept."""
    character = chr(code)
    category = unicodedata2.category(character)
    if category not in KINDS:
        return None
    if code < 0x80:
        return ASCII[category]
    if category == "Nd":
        zero = code - unicodedata2.decimal(character)
        return f"digit {zero:04X}"
    return f"{EVERYDAY.get(code) or f'{script(character)} {block(character)}'} {KINDS[category]}"


def spans(members: list[int]) -> str:
    """Write ascending code points as ranges; upper and lower case often alternate, hence a step."""
    found: list[tuple[int, int, int]] = []
    for code in members:
        if found:
            first, last, step = found[-1]
            distance = code - last
            if distance == step or (first == last and distance == 2):
                found[-1] = (first, code, distance)
                continue
        found.append((code, code, 1))
    parts = []
    for first, last, step in found:
        text = f"{first:X}" if first == last else f"{first:X}-{last:X}"
        parts.append(f"{text}/{step}" if step > 1 else text)
    return " ".join(parts)


def main() -> None:
    """Print the table."""
    classes: dict[str, list[int]] = {
        name: [] for name in ("ASCII digit", "ASCII upper", "ASCII lower")
    }
    for code in range(0x110000):
        name = class_name(code)
        if name is not None:
            classes.setdefault(name, []).append(code)
    print("# Character classes of the format class/1. Frozen: the order of the lines and of the")
    print("# members is part of the format. One class a line: its name, then its code points in")
    print("# hexadecimal, FIRST-LAST/STEP.")
    print(f"# Unicode {unicodedata2.unidata_version}")
    for name, members in classes.items():
        for part, start in enumerate(range(0, len(members), LARGEST)):
            piece = members[start : start + LARGEST]
            if len(piece) > 1:
                print(f"{name}{f' {part + 1}' if len(members) > LARGEST else ''}: {spans(piece)}")


if __name__ == "__main__":
    main()
