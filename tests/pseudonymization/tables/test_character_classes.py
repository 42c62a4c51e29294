from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from importlib.resources import files

import numpy as np
import pytest

from secureml.pseudonymization.strategies.fpe import TOKEN_PREFIX
from secureml.pseudonymization.tables.character_classes import CLASS_SYMBOL, alphabets

FROZEN = "3b0504eb32ba718b443a270d210c006e35c97998220a5031d9337f2d512b682b"


def symbols(characters: str) -> list[int]:
    """The class of each character, -1 for none, through the tables used on whole columns."""
    table = alphabets()
    codes = np.array([ord(character) for character in characters], np.uint32)
    return table.classes(table.canonical(codes)).tolist()


def test_table_is_the_frozen_one() -> None:
    table = files("secureml.pseudonymization.tables").joinpath("character_classes.txt").read_bytes()
    assert hashlib.sha256(table).hexdigest() == FROZEN, "a new table is a new version of the format"


def test_ordinals_are_a_permutation_of_all_code_points() -> None:
    table = alphabets()
    every = np.arange(0x110000, dtype=np.uint32)
    ordinals = table.ordinals(every)
    assert (table.codes(ordinals) == every).all()
    assert (np.sort(ordinals) == every).all()
    assert (ordinals[:128] == every[:128]).all()


def test_every_class_is_a_run_of_ordinals_of_the_stated_size(
    class_of: Callable[[str], int | str],
) -> None:
    table = alphabets()
    for number, (start, size) in enumerate(zip(table.starts, table.sizes, strict=True)):
        run = np.arange(start, start + size, dtype=np.uint32)
        assert (table.canonical(table.codes(run)) == table.codes(run)[0]).all()
        assert len({code < 0x10000 for code in table.codes(run).tolist()}) == 1
        assert {class_of(chr(code)) for code in table.codes(run)} == {number}
    assert table.sizes.min() >= 2
    assert table.sizes.max() <= 1 << 15
    assert table.sizes.sum() == sum(class_of(chr(code)) != chr(code) for code in range(0x110000))


def test_class_numbers_do_not_meet_code_points() -> None:
    assert CLASS_SYMBOL == 0x110000


@pytest.mark.parametrize(
    "alphabet",
    [
        "0123456789",
        "ABCXYZ",
        "abcxyz",
        "ÀÉÖØÞ",
        "ßàéöøÿ",
        "ĀĹŁŽȘȚ",
        "āĺłžșțıſ",
        "ẠẾỸƠƯ",
        "ạếỹơư",
        "ΆΑΩΫ",
        "άαςωϋΐ",
        "АЯЁЇЂ",
        "аяёїђ",
        "ءاي",
        "پچژگکیہ",
        "אםת",
        "ՀՖ",
        "აჰ",
        "ᲐᲰ",
        "一龥山",
        "㐀䶿",
        "가힣",
        "あぃん",
        "アィン",
        "ｱﾝ",
        "กฮไ",
        "कहअ",
        "०१९",
        "٠٩",
        "۰۹",
        "０９",
        "ＡＺ",
    ],
)
def test_characters_that_share_a_class(alphabet: str) -> None:
    (number,) = set(symbols(alphabet))
    assert number >= 0


def test_ordinary_letters_are_apart_from_rare_ones_and_cases_and_scripts_from_each_other() -> None:
    apart = "0aAáÁłŁʘƀơƠαΑϝϜяЯѣѢأٱپאװ一㐀𠀀가アあ०٠۰０Ａ"
    assert len(set(symbols(apart))) == len(apart)


KEPT = " -_.@~'’\n\0\x7f\u0301\u200dーـ€©½²Ⅷ①µ👍\ud800\udfff\ue000\uffff\U0010ffff"


@pytest.mark.parametrize("character", list(KEPT), ids=ascii)
def test_characters_of_no_class(character: str) -> None:
    assert symbols(character) == [-1]


def test_token_prefix_is_of_no_class() -> None:
    assert set(symbols(TOKEN_PREFIX)) == {-1}


def test_digit_classes_are_ten_digits_in_order() -> None:
    table = alphabets()
    digits = [n for n, size in enumerate(table.sizes) if unicodedata.category(first(n)) == "Nd"]
    assert len(digits) > 60
    for number in digits:
        codes = table.codes(table.starts[number] + np.arange(10, dtype=np.uint32))
        assert table.sizes[number] == 10
        assert [unicodedata.decimal(chr(code)) for code in codes] == list(range(10))


def first(number: int) -> str:
    table = alphabets()
    return chr(table.codes(table.starts[number : number + 1])[0])


@pytest.mark.parametrize("octets", [b"", b"A-Za-z 09~\x00\x7f"])
def test_ascii_tables_agree_with_the_large_ones(octets: bytes) -> None:
    table = alphabets()
    narrow = np.frombuffer(octets, np.uint8)
    wide = narrow.astype(np.uint32)
    assert table.ordinals(narrow) is narrow
    assert table.codes(narrow) is narrow
    assert table.canonical(narrow).dtype == np.uint8
    assert (table.canonical(narrow) == table.canonical(wide)).all()
    assert (table.classes(narrow) == table.classes(wide)).all()


@pytest.mark.parametrize("length", [0, 1, (1 << 17) - 1, 1 << 17, (1 << 17) + 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint32])
def test_long_texts_are_read_in_pieces(length: int, dtype: type) -> None:
    table = alphabets()
    codes = np.resize(np.array([65, 97, 48, 45, 122, 57], dtype), length)
    assert (table.canonical(codes) == np.resize([65, 97, 48, 45, 97, 48], length)).all()
    letters = np.resize(np.array([0xE9, 0x5C71, 0x45, 0x301], np.uint32), length)
    assert (table.codes(table.ordinals(letters)) == letters).all()
