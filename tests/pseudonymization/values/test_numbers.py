from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers

WIDE = Limits(-(1 << 64) + 1, (1 << 64) - 1)


@given(st.lists(st.integers(-(1 << 64) + 1, (1 << 64) - 1)))
def test_decimal_strings(values: list[int]) -> None:
    numbers = WholeNumbers.parse(list(map(str, values)), WIDE)
    assert [int(string) for string in numbers.strings()] == values


def test_negative_zero_is_kept() -> None:
    numbers = WholeNumbers.parse(["-0", "0"], WIDE)
    assert numbers.negative.tolist() == [True, False]
    assert numbers.strings() == ["-0", "0"]


@pytest.mark.parametrize(
    "text", ["", "-", "+1", "01", "1.0", "1e3", " 1", "١", "x", "1" * 30, str(1 << 64)]
)
def test_other_text_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(PseudonymizationError) as caught:
        WholeNumbers.parse(["7", text], WIDE)
    assert "1 values" in str(caught.value)
    assert caught.value.__context__ is None


@given(st.lists(st.integers(-(1 << 64) + 1, (1 << 64) - 1), max_size=8), st.data())
def test_scattered_puts_parts_together(values: list[int], data: st.DataObject) -> None:
    numbers = WholeNumbers.parse(list(map(str, values)), WIDE)
    chosen = np.array([data.draw(st.booleans()) for _ in values], np.bool_)
    rows, others = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    whole = numbers.scattered(
        len(numbers), [(rows, numbers.at(rows)), (others, numbers.at(others))]
    )
    assert whole.strings() == numbers.strings()
    assert numbers.at(chosen).strings() == numbers.at(rows).strings()


def test_outside_tells_what_the_type_does_not_hold() -> None:
    numbers = WholeNumbers.parse(["127", "128", "-128", "-129", "-0"], Limits(-128, 127))
    assert numbers.outside().tolist() == [False, True, False, True, False]
