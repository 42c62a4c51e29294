from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.pseudonymization.parsing.parts import read_parts
from secureml.pseudonymization.values.text import Text

DECIMAL, HEXADECIMAL = "0123456789", "0123456789abcdef"
KINDS = [(".", 4, DECIMAL, 256), (":", 8, HEXADECIMAL, 1 << 16), ("-", 2, DECIMAL, 10_000)]
VALUES = ["7.31.0.250", "0:1:1a:f:0:abcd:9:2", "7-0"]


def expected(
    values: list[str], separator: str, count: int, digits: str, limit: int
) -> dict[int, list[int]]:
    number = re.compile(f"0|[{digits[1:]}][{digits}]{{0,3}}")
    found = {}
    for row, value in enumerate(values):
        parts = value.split(separator)
        if len(parts) == count and all(map(number.fullmatch, parts)):
            numbers = [int(part, len(digits)) for part in parts]
            if max(numbers) < limit:
                found[row] = numbers
    return found


def read(values: list[str], *kind: object, wide: bool = False) -> dict[int, list[int]]:
    text = Text.of(values)
    text = Text(text.codes.astype(np.uint32), text.offsets) if wide else text
    rows, numbers = read_parts(text, *kind)  # type: ignore[arg-type]
    return dict(zip(rows.tolist(), numbers.tolist(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_written_so_is_read_and_nothing_else(kind: tuple, data: st.DataObject) -> None:
    separator, count, digits, limit = kind
    template = "x" if len(digits) == 16 else "d"
    number = st.integers(0, limit - 1).map(lambda one: f"{one:{template}}")
    proper = st.lists(number, min_size=count, max_size=count).map(separator.join)
    part = number | st.text(digits, max_size=6) | st.text(max_size=2)
    noise = st.lists(part, max_size=count + 2).map(separator.join)
    values = data.draw(st.lists(proper | noise, max_size=6))
    wide = data.draw(st.booleans())
    assert read(values, *kind, wide=wide) == expected(values, *kind)


@pytest.mark.parametrize(("kind", "value"), list(zip(KINDS, VALUES, strict=True)))
def test_every_character_in_every_place(kind: tuple, value: str) -> None:
    values = [
        value[:place] + chr(code) + value[place + cut :]
        for place in range(len(value))
        for code in range(256)
        for cut in (0, 1)
    ]
    assert read(values, *kind) == expected(values, *kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_number(kind: tuple) -> None:
    separator, count, digits, limit = kind
    template = "x" if len(digits) == 16 else "d"
    values = [separator.join([f"{number:{template}}"] * count) for number in range(limit + 20)]
    assert read(values, *kind) == expected(values, *kind)
