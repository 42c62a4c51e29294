"""A result never depends on what else is in the column, nor on where a chunk ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.pseudonymization.formats.classes import ClassFormat
from secureml.pseudonymization.parsing import templates
from secureml.pseudonymization.ranking import character_ranks
from secureml.pseudonymization.ranking.character_ranks import RankWidth
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.text import Text

VALUES = [
    "123-45-6789",
    "987-65-4321",
    "Ann-Marie Smith",
    "Bob-Louis Jones",
    "José Müller 12",
    "山田太郎",
    "a1" * 9,
    "b2" * 9,
    "one two three four five six seven eight",
    "Ten Two Three Four Five Six Seven Eight",
    "abcdefghijklmnopqrstuvwxyzabcdefghijkl",
    "山田太郎山田太郎山田太郎山田太郎",
    "1" * 60,
]


def transformed(values: list[str], cipher: IntegerFF1, *, decrypt: bool = False) -> list[str]:
    made = transform(ClassFormat(), Text.of(values), Permutation(cipher, decrypt=decrypt))
    assert isinstance(made.values, Text)
    assert not len(made.small.rows)
    return made.values.strings()


def encrypted(values: list[str], cipher: IntegerFF1) -> list[str]:
    return transformed(values, cipher)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 15])
def test_batches_do_not_change_the_result(
    chunk: int, cipher: IntegerFF1, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [encrypted([value], cipher)[0] for value in VALUES]
    monkeypatch.setattr(character_ranks, "CHUNK", chunk)
    monkeypatch.setattr(character_ranks, "_CHARACTERS", chunk)
    monkeypatch.setattr(templates, "_PIECE", chunk)
    order = np.random.default_rng(5).permutation(len(VALUES) * 3) % len(VALUES)
    assert encrypted([VALUES[i] for i in order], cipher) == [alone[i] for i in order]
    pseudonyms = [alone[i] for i in order]
    assert transformed(pseudonyms, cipher, decrypt=True) == [VALUES[i] for i in order]


@pytest.mark.parametrize("rows", [(1 << 15) - 1, 1 << 15, (1 << 15) + 1])
@pytest.mark.parametrize("odd", ["", "Somebody Else"])
def test_chunk_boundaries(rows: int, odd: str, cipher: IntegerFF1) -> None:
    values = [f"{number:09d}" for number in range(rows)]
    result = encrypted([*values, odd], cipher)
    assert len(set(result)) == rows + 1
    for row in (0, rows - 2, rows - 1):
        assert encrypted([values[row]], cipher) == [result[row]]


def test_python_integers_and_words_give_the_same_result(
    cipher: IntegerFF1, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = encrypted(VALUES, cipher)
    alone = [encrypted([value], cipher)[0] for value in VALUES]
    monkeypatch.setattr(
        character_ranks, "_rank_widths", lambda ranked: np.full(len(ranked.base), RankWidth.BIGINT)
    )
    assert encrypted(VALUES, cipher) == expected
    assert [encrypted([value], cipher)[0] for value in VALUES] == alone == expected


@pytest.mark.parametrize("digits", range(12))
@pytest.mark.parametrize("ideographs", range(5, 9))
def test_around_the_limit_of_two_words(
    digits: int, ideographs: int, cipher: IntegerFF1, reference: Callable[[str], str]
) -> None:
    value = "山" * ideographs + "7" * digits
    assert encrypted([value], cipher) == [reference(value)]
    assert encrypted([value, "7" + value], cipher) == [reference(value), reference("7" + value)]
