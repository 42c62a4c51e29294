from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.frames import strings
from secureml.frames.strings import is_text, read_text, write_text
from secureml.pseudonymization.values.text import Text

TYPES = [pa.string(), pa.large_string(), pa.string_view()]
STRINGS = st.lists(st.none() | st.text(max_size=6) | st.text("ab9", max_size=6), max_size=9)


@given(STRINGS, st.sampled_from(TYPES), st.integers(0, 3), st.integers(0, 3))
def test_strings_come_back(
    strings: list[str | None], arrow_type: pa.DataType, head: int, tail: int
) -> None:
    padded = ["é~head"] * head + strings + ["tail山"] * tail
    array = pa.array(padded, pa.string()).cast(arrow_type).slice(head, len(strings))
    text, nulls = read_text(array)
    assert text.strings() == [string or "" for string in strings]
    assert nulls.tolist() == [string is None for string in strings]
    assert text.offsets[0] == 0
    assert text.offsets[-1] == len(text.codes)
    written = write_text(text, nulls, arrow_type)
    assert written.type == arrow_type
    assert written.to_pylist() == strings
    written.validate(full=True)


@given(st.lists(STRINGS, max_size=4))
def test_chunks(chunks: list[list[str | None]]) -> None:
    array = pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks], pa.string())
    text, nulls = read_text(array)
    expected = [string for chunk in chunks for string in chunk]
    assert text.strings() == [string or "" for string in expected]
    assert nulls.tolist() == [string is None for string in expected]


def test_what_lies_under_a_null_is_not_read() -> None:
    data, offsets = pa.py_buffer(b"secretsafe"), pa.py_buffer(np.array([0, 6, 10], np.int64))
    validity = pa.array([False, True]).buffers()[1]
    array = pa.Array.from_buffers(pa.large_string(), 2, [validity, offsets, data])
    text, nulls = read_text(array)
    assert text.strings() == ["", "safe"]
    assert text.codes.tobytes() == b"safe"
    assert nulls.tolist() == [True, False]


@pytest.mark.parametrize("chunked", [False, True])
def test_ascii_is_not_copied(chunked: bool) -> None:
    array = pa.array(["one", "two"], pa.large_string())
    text, _ = read_text(pa.chunked_array([array]) if chunked else array)
    assert text.codes.ctypes.data == array.buffers()[2].address


def test_octets_that_are_not_utf8() -> None:
    data, offsets = pa.py_buffer(b"\xff\xfe"), pa.py_buffer(np.array([0, 2], np.int64))
    array = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, data])
    with pytest.raises(PseudonymizationError, match="not UTF-8") as caught:
        read_text(array)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "values", [["\ud800"], ["\ud83d\ude00"], ["\ud83d", "\ude00"], ["😀\ud800"]]
)
def test_a_lone_surrogate_can_not_be_written(values: list[str]) -> None:
    with pytest.raises(PseudonymizationError, match="lone surrogate") as caught:
        write_text(Text.of(values), np.zeros(len(values), np.bool_), pa.string())
    assert caught.value.__context__ is None


def test_more_than_a_type_can_hold_is_refused() -> None:
    codes = np.zeros((1 << 31) + 1, np.uint8)  # never touched, so the system never backs it
    text = Text(codes, np.array([0, 1 << 30, len(codes)], np.int64))
    with pytest.raises(PseudonymizationError, match="does not fit the Arrow type string"):
        write_text(text, np.zeros(2, np.bool_), pa.string())


@pytest.mark.parametrize("arrow_type", TYPES)
def test_types_of_text(arrow_type: pa.DataType) -> None:
    assert is_text(arrow_type)


@pytest.mark.parametrize(
    "arrow_type", [pa.binary(), pa.int64(), pa.dictionary(pa.int8(), pa.string())]
)
def test_types_of_other_things(arrow_type: pa.DataType) -> None:
    assert not is_text(arrow_type)


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
@pytest.mark.parametrize(
    "values", [["aé", "", "山é", "z"], ["😀a", "é", "", "山"], ["", "é"], ["a", "é", "😀"] * 7]
)
def test_octets_are_counted_in_pieces(
    values: list[str], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strings, "_PIECE", piece)
    nulls = np.zeros(len(values), np.bool_)
    made = write_text(Text.of(values), nulls, pa.large_string())
    made.validate(full=True)
    assert made.to_pylist() == values
    assert read_text(made)[0].strings() == values
    assert read_text(made.slice(1))[0].strings() == values[1:]
