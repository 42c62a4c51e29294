from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.pseudonymization.ranking.assembly import assembly
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text

BEFORE = ["12", "", "345", "6", "789"]
SPANS = [slice(0, 2), slice(2, 3), slice(3, 5)]


@pytest.mark.parametrize(
    "after",
    [
        ["21", "", "543", "9", "987"],  # every value keeps its length
        ["21", "", "54", "9", "987"],
        ["2", "1", "543", "9", "987"],  # a part keeps its length and its values do not
        ["21", "", "5é3", "9", "987"],  # a part needs wider characters
        ["", "", "", "", ""],
    ],
)
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_parts_of_text_become_a_whole(after: list[str], order: list[int]) -> None:
    new = assembly(Text.of(BEFORE))
    for number in order:
        new.put(SPANS[number], Text.of(after[SPANS[number]]))
    assert new.whole().strings() == after


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=9), st.data())
def test_any_text(values: list[tuple[str, str]], data: st.DataObject) -> None:
    before, after = [one for one, _ in values], [other for _, other in values]
    cut = data.draw(st.integers(0, len(values)))
    new = assembly(Text.of(before))
    for span in (slice(0, cut), slice(cut, len(values))):
        if span.start < span.stop:
            new.put(span, Text.of(after[span]))
    assert new.whole().strings() == after


def test_the_column_before_stays_as_it_was() -> None:
    before = Text.of(BEFORE)
    new = assembly(before)
    new.put(slice(0, 5), Text.of(["21", "", "543", "9", "987"]))
    assert new.whole().strings() != before.strings() == BEFORE


def test_parts_of_numbers_become_a_whole() -> None:
    limits = Limits(-100, 100)
    before = WholeNumbers.parse(["1", "-2", "3"], limits)
    before.magnitudes.flags.writeable = False  # as those of a column are that was not copied
    new = assembly(before)
    new.put(slice(1, 3), WholeNumbers.parse(["5", "-6"], limits))
    new.put(slice(0, 1), WholeNumbers.parse(["-4"], limits))
    assert new.whole().strings() == ["-4", "5", "-6"]
    assert before.strings() == ["1", "-2", "3"]
    assert np.array_equal(new.whole().negative, [True, False, True])
