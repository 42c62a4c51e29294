from __future__ import annotations

from unicodedata import category, unidata_version

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.values.text import Text, common_width

ANY = st.lists(st.text(st.characters(codec=None), max_size=6), max_size=12)


@given(ANY)
def test_strings_come_back(strings: list[str]) -> None:
    text = Text.of(strings)
    assert len(text) == len(strings)
    assert text.strings() == strings
    assert text.lengths.tolist() == [len(string) for string in strings]
    assert text.strings_at(np.arange(len(strings))) == strings


@given(ANY, st.data())
def test_replaced(strings: list[str], data: st.DataObject) -> None:
    rows = sorted(data.draw(st.sets(st.sampled_from(range(len(strings) or 1)))))
    rows = [row for row in rows if row < len(strings)]
    new = data.draw(st.lists(st.text(max_size=9), min_size=len(rows), max_size=len(rows)))
    expected = list(strings)
    for row, string in zip(rows, new, strict=True):
        expected[row] = string
    text = Text.of(strings)
    assert text.replaced(np.array(rows, np.int64), new).strings() == expected
    assert text.strings() == strings


@given(st.lists(st.sampled_from(["", "~", "~a", "a~", "é", "~é"]), max_size=8))
def test_starting_with(strings: list[str]) -> None:
    expected = [row for row, string in enumerate(strings) if string.startswith("~")]
    assert Text.of(strings).starting_with("~").tolist() == expected


@pytest.mark.parametrize(
    ("string", "dtype"),
    [
        ("plain", np.uint8),
        ("é", np.uint16),
        ("\uffff", np.uint16),
        ("😀", np.uint32),
        ("", np.uint8),
    ],
)
def test_as_few_octets_as_do_are_used(string: str, dtype: type) -> None:
    assert Text.of([string]).codes.dtype == dtype


@given(ANY.filter(bool), st.data())
def test_at(strings: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.sampled_from(range(len(strings))), max_size=9))
    assert Text.of(strings).at(np.array(rows, np.int64)).strings() == [strings[row] for row in rows]


@pytest.mark.parametrize("rows", [[0], [99], [41, 7, 42], [0, 1, 2, 98, 99]])
@pytest.mark.parametrize("new", ["", "x", "much longer", "ł\ud800"])
@pytest.mark.parametrize("old", ["abc", "é", ""])
def test_few_replaced_among_many(old: str, new: str, rows: list[int]) -> None:
    strings = [f"{old}{number}" for number in range(100)]
    expected = list(strings)
    for number, row in enumerate(rows):
        expected[row] = f"{new}{number}" if new else ""
    made = Text.of(strings).replaced(np.array(rows), [expected[row] for row in rows])
    assert made.strings() == expected


def test_surrogates_side_by_side_make_no_pair() -> None:
    assert Text.of(["\ud83d", "\ude00"]).strings() == ["\ud83d", "\ude00"]
    assert Text.of(["\ud83d\ude00"]).strings() == ["\ud83d\ude00"]


@given(ANY)
def test_a_common_width_is_that_of_all_values(strings: list[str]) -> None:
    widths = {len(string) for string in strings}
    expected = widths.pop() if len(widths) == 1 else 0
    assert common_width(Text.of(strings).offsets) == expected
    assert common_width(Text.of(["before", *strings]).offsets[1:]) == expected


@pytest.mark.parametrize("odd", [0, 1 << 16, (1 << 16) + 1, 1 << 17])
def test_one_other_width_among_many_is_noticed(odd: int) -> None:
    offsets = np.arange((1 << 17) + 2) * 3
    assert common_width(offsets) == 3
    offsets[odd + 1 :] += 1
    assert common_width(offsets) == 0
    offsets[odd + 2 :] -= 1
    assert common_width(offsets) == 0


@pytest.mark.parametrize("code", [0x378, 0xE1000, 0x10FFFD - 0x10000 * 2])
def test_a_character_that_a_later_unicode_may_assign_is_not_normalized(code: int) -> None:
    text = Text.of(["e\u0301", chr(code), "", f"a{chr(code)}\u0301", "山"])
    if category(chr(code)) != "Cn":
        assert text.normalized("NFC").strings()[0] == "é"
        return
    with pytest.raises(PseudonymizationError, match=f"2 values .* Unicode {unidata_version} "):
        text.normalized("NFC")


def test_every_version_normalizes_noncharacters_private_ones_and_surrogates_alike() -> None:
    strings = ["\ufdd0", "\uffff", "\U0010fffe", "\ue000", "\ud800"]
    assert Text.of(strings).normalized("NFC").strings() == strings
