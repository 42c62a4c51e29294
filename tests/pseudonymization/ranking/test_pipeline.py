from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.pseudonymization.formats import Format, resolve_format
from secureml.pseudonymization.formats.base import Reading
from secureml.pseudonymization.ranking import character_ranks, pipeline, threads
from secureml.pseudonymization.ranking.permutation import Permutation, RowTweaks
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text

ROWS = 1000
RANDOM = np.random.default_rng(0)
DIGITS = [f"{number:09d}" for number in RANDOM.integers(0, 10**9, ROWS)]
MIXED = [one * (number % 4) for number, one in enumerate(["ab-12345", "Łódź 44", "1", "€"] * 250)]
RAGGED = ["Ł", *MIXED[1:]]
NUMBERS = WholeNumbers.parse(
    [str(number) for number in RANDOM.integers(-(10**9), 10**9, ROWS)], Limits(-(2**31), 2**31 - 1)
)
COLUMNS = {
    "one template": (Text.of(DIGITS), "class"),
    "many templates": (Text.of(MIXED), "class"),
    "texts of any length": (Text.of(RAGGED), "class"),
    "numbers": (NUMBERS, "integer"),
    "invalid values": (Text.of([*DIGITS[:500], *["x"] * 250, *DIGITS[:250]]), "digits"),
}


def counted(form: Format, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many values the format is given, by call."""
    calls: list[int] = []
    plain = type(form).read

    def noting(self: Format, part: Values, *, decrypt: bool) -> Iterable[Reading]:
        calls.append(len(part))
        return plain(self, part, decrypt=decrypt)

    monkeypatch.setattr(type(form), "read", noting)
    return calls


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "FEWEST", 300)
    monkeypatch.setattr(threads, "cores", lambda: 3)


@pytest.mark.usefixtures("slices")
@pytest.mark.parametrize("with_tweaks", [False, True])
@pytest.mark.parametrize("name", COLUMNS)
def test_slices_make_what_the_whole_column_makes(
    name: str, with_tweaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, written = COLUMNS[name]
    form = resolve_format(written, {})
    monkeypatch.setattr(character_ranks, "_CHARACTERS", 500)
    tweaks = RowTweaks([b"a", b"b"], np.arange(ROWS) % 2) if with_tweaks else None
    permutation = Permutation(IntegerFF1(bytes(32)), row_tweaks=tweaks)
    with monkeypatch.context() as alone:
        alone.setattr(threads, "cores", lambda: 1)
        whole = pipeline.transform(form, values, permutation)
    calls = counted(form, monkeypatch)
    made = pipeline.transform(form, values, permutation)
    assert sorted(calls) == ([ROWS] if name == "texts of any length" else [333, 333, 334])
    assert made.values.strings() == whole.values.strings()
    assert made.small.rows.tolist() == whole.small.rows.tolist()
    assert made.small.domain == whole.small.domain
    assert made.invalid.tolist() == whole.invalid.tolist()
    assert made.domain == whole.domain


@pytest.mark.usefixtures("slices")
def test_a_short_column_is_one_slice() -> None:
    form = resolve_format("class", {})
    made = pipeline.transform(form, Text.of(DIGITS[:599]), Permutation(IntegerFF1(bytes(32))))
    assert len(made.values) == 599


@pytest.mark.parametrize("count", [1, 2])
def test_a_long_column_is_cut_even_for_fewer_cores(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "FEWEST", 300)
    monkeypatch.setattr(threads, "cores", lambda: count)
    form = resolve_format("class", {})
    calls = counted(form, monkeypatch)
    permutation = Permutation(IntegerFF1(bytes(32)))
    ragged = Text.of(["1", *DIGITS[1:]])
    for values, piecemeal, slices in (
        (Text.of(DIGITS), True, 10),
        (ragged, True, 1),
        (ragged, False, 10),
    ):
        monkeypatch.setattr(type(form), "piecemeal", piecemeal)
        whole = pipeline.transform(form, values, permutation).values.strings()
        calls.clear()
        with monkeypatch.context() as short:
            short.setattr(pipeline, "_LONGEST", 100)
            made = pipeline.transform(form, values, permutation).values.strings()
        assert made == whole
        assert calls == [ROWS // slices] * slices
