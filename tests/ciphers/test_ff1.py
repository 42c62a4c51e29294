"""FF1 against the standard's samples, Wycheproof, another implementation, and bad input."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secureml.ciphers.aes import CHUNK, BlockCipher, Scratch
from secureml.ciphers.feistel import RoundParameters, Shape, check_domain, mac_states, run_rounds
from secureml.ciphers.feistel_bigint import IntegerRounds
from secureml.ciphers.feistel_u64 import WordRounds
from secureml.ciphers.ff1 import FF1
from secureml.ciphers.integer_ff1 import IntegerFF1

KEY = bytes(range(32))
RANDOM = np.random.default_rng(38)

keys = st.one_of(*(st.binary(min_size=size, max_size=size) for size in (16, 24, 32)))
tweaks = st.binary(max_size=40)
radices = st.one_of(
    st.sampled_from([2, 3, 10, 26, 36, 255, 256, 65535, 65536]), st.integers(2, 65536)
)


@st.composite
def numeral_strings(draw: st.DrawFn, *, octets: int | None = None) -> tuple[int, list[list[int]]]:
    """A radix, and rows of numerals of one length whose domain is at least 100."""
    radix = draw(radices)
    least = next(n for n in range(2, 8) if radix**n >= 100)
    most = 40 if octets is None else 2 * (8 * octets // (radix - 1).bit_length())
    n = draw(st.integers(least, most))
    row = st.lists(st.integers(0, radix - 1), min_size=n, max_size=n)
    return radix, draw(st.lists(row, min_size=1, max_size=5))


def test_samples_of_the_standard(sample: Any) -> None:
    cipher = FF1(sample.key, sample.radix)
    assert cipher.encrypt(sample.plaintext, sample.tweak) == sample.ciphertext
    assert cipher.decrypt(sample.ciphertext, sample.tweak) == sample.plaintext


def wycheproof() -> Path:
    named = os.environ.get("SECUREML_WYCHEPROOF")
    if named:
        return Path(named) / "testvectors_v1"
    return Path(__file__).parents[3] / "shared" / "vectors"


WYCHEPROOF = sorted(wycheproof().glob("aes_ff1_base*_test.json"))


@pytest.mark.skipif(
    not WYCHEPROOF,
    reason="no vectors: check out C2SP Wycheproof and name the folder in SECUREML_WYCHEPROOF "
    "(testvectors_v1/aes_ff1_base*_test.json)",
)
@pytest.mark.parametrize("path", WYCHEPROOF or [Path()], ids=lambda path: path.stem)
def test_wycheproof(path: Path) -> None:
    outcomes = {"valid": 0, "invalid": 0}
    for group in json.loads(path.read_text())["testGroups"]:
        alphabet = group["alphabet"]
        for case in group["tests"]:
            key, tweak = bytes.fromhex(case["key"]), bytes.fromhex(case["tweak"])
            plaintext = [alphabet.find(character) for character in case["msg"]]
            outcomes[case["result"]] += 1
            if case["result"] == "invalid":
                with pytest.raises(ValueError):
                    FF1(key, group["radix"], min_domain=100).encrypt(plaintext, tweak)
                continue
            cipher = FF1(key, group["radix"], min_domain=100)
            ciphertext = [alphabet.index(character) for character in case["ct"]]
            assert cipher.encrypt(plaintext, tweak) == ciphertext, case["tcId"]
            assert cipher.decrypt(ciphertext, tweak) == plaintext, case["tcId"]
    assert outcomes["valid"] > 2000
    assert outcomes["invalid"] > 300


@settings(deadline=None)
@given(key=keys, tweak=tweaks, strings=numeral_strings())
def test_same_as_another_implementation(
    independent: Any, key: bytes, tweak: bytes, strings: tuple[int, list[list[int]]]
) -> None:
    radix, rows = strings
    cipher = FF1(key, radix, min_domain=100)
    ciphertext = cipher.encrypt(np.array(rows), tweak)
    assert ciphertext.tolist() == [independent(key, radix, row, tweak) for row in rows]
    assert cipher.decrypt(ciphertext, tweak).tolist() == rows


@pytest.mark.parametrize("n", [200, 1000])
def test_long_strings_need_many_blocks(independent: Any, n: int) -> None:
    row = RANDOM.integers(0, 26, n).tolist()
    ciphertext = FF1(KEY, 26).encrypt(row, b"tweak")
    assert ciphertext == independent(KEY, 26, row, b"tweak")
    assert FF1(KEY, 26).decrypt(ciphertext, b"tweak") == row


@settings(deadline=None)
@given(key=keys, tweak=tweaks, strings=numeral_strings(octets=7), decrypt=st.booleans())
def test_words_and_integers_agree(
    key: bytes, tweak: bytes, strings: tuple[int, list[list[int]]], decrypt: bool
) -> None:
    radix, rows = strings
    shape = Shape.of(radix, len(rows[0]))
    assert shape.narrow
    numbers = [int("".join(f"{numeral:05d}" for numeral in row)) for row in rows]
    left = [number % shape.left for number in numbers]
    right = [number % shape.right for number in numbers]
    cipher = BlockCipher(key)
    states = mac_states(cipher, [shape], [tweak])
    words = np.array(left, np.uint64), np.array(right, np.uint64)
    parameters = RoundParameters.of([shape], np.zeros(1, np.intp), states)
    integers = np.array(left, object), np.array(right, object)
    scratch, sizes = Scratch(cipher.encryptor()), (shape.left, shape.right)
    run_rounds(WordRounds(scratch, parameters, len(rows)), *words, decrypt=decrypt)
    run_rounds(IntegerRounds(scratch, states, shape, sizes), *integers, decrypt=decrypt)
    assert [half.tolist() for half in words] == [half.tolist() for half in integers]


@pytest.mark.parametrize("rows", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
@pytest.mark.parametrize(("radix", "n"), [(10, 9), (10, 20), (26, 12)])
def test_batch_is_row_by_row(rows: int, radix: int, n: int) -> None:
    cipher = FF1(KEY, radix)
    plaintext = RANDOM.integers(0, radix, (rows, n))
    before = plaintext.copy()
    ciphertext = cipher.encrypt(plaintext, b"t")
    assert ciphertext.shape == (rows, n)
    for row in {0, rows // 2, CHUNK - 1, rows - 1} & set(range(rows)):
        assert ciphertext[row].tolist() == cipher.encrypt(plaintext[row].tolist(), b"t")
    assert (plaintext == before).all()
    assert (cipher.decrypt(ciphertext, b"t") == plaintext).all()


def test_ff1_is_what_permutes_ranks() -> None:
    plaintext = RANDOM.integers(0, 10, (1_000, 9)).astype(np.uint64)
    scale = 10 ** np.arange(8, -1, -1, dtype=np.uint64)
    batch = IntegerFF1(KEY).prepare([10**9], [b"t"], [(10, 9)])
    made = batch.halves(
        0, plaintext[:, :4] @ scale[5:], plaintext[:, 4:] @ scale[4:], decrypt=False
    )
    ciphertext = FF1(KEY, 10).encrypt(plaintext, b"t")
    assert (made[0] == ciphertext[:, :4] @ scale[5:]).all()
    assert (made[1] == ciphertext[:, 4:] @ scale[4:]).all()


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "i4", "i8", "u8", ">i8"])
def test_shape_and_dtype_are_kept(dtype: str) -> None:
    cipher = FF1(KEY, 10)
    plaintext = np.arange(60).reshape(6, 10).T[:, :6].astype(dtype)[::-1] % np.array(10, dtype)
    ciphertext = cipher.encrypt(plaintext)
    assert ciphertext.dtype == plaintext.dtype
    assert ciphertext.tolist() == [cipher.encrypt(row) for row in plaintext.tolist()]
    assert (cipher.decrypt(ciphertext) == plaintext).all()
    assert cipher.encrypt(plaintext[0]).shape == (6,)


def test_a_sequence_gives_a_list() -> None:
    cipher = FF1(KEY, 10)
    assert cipher.encrypt((1, 2, 3, 4, 5, 6)) == cipher.encrypt([1, 2, 3, 4, 5, 6])
    assert cipher.decrypt(cipher.encrypt(range(10))) == list(range(10))


def test_numpy_radix_does_not_overflow() -> None:
    row = [1] * 40
    assert FF1(KEY, np.int8(10)).encrypt(row) == FF1(KEY, 10).encrypt(row)


def test_no_collision_among_100_000_values() -> None:
    values = np.arange(100_000) * 9973
    plaintext = values[:, None] // 10 ** np.arange(8, -1, -1) % 10
    ciphertext = FF1(KEY, 10).encrypt(plaintext, b"ssn")
    assert len(np.unique(ciphertext @ 10 ** np.arange(8, -1, -1))) == 100_000
    assert (ciphertext != plaintext).any(axis=1).all()


def test_key_tweak_and_length_all_matter() -> None:
    row = [0] * 9
    outputs = [
        FF1(KEY, 10).encrypt(row),
        FF1(KEY[:16], 10).encrypt(row),
        FF1(bytes(32), 10).encrypt(row),
        FF1(KEY, 10).encrypt(row, b"\0"),
        FF1(KEY, 10).encrypt(row, b"\0\0"),
        FF1(KEY, 11).encrypt(row),
        FF1(KEY, 10).encrypt([0] * 10)[:9],
    ]
    assert len({tuple(output) for output in outputs}) == len(outputs)


@pytest.mark.parametrize("size", [0, 8, 15, 17, 31, 33, 64])
def test_wrong_key_size(size: int) -> None:
    with pytest.raises(ValueError, match=f"16, 24 or 32 octets, not {size}"):
        FF1(bytes(size), 10)


@pytest.mark.parametrize("key", ["0" * 32, bytearray(32), None])
def test_key_is_bytes(key: Any) -> None:
    with pytest.raises(TypeError, match=f"bytes, not {type(key).__name__}"):
        FF1(key, 10)


@pytest.mark.parametrize("radix", [-10, 0, 1, 65537, 2**32])
def test_radix_out_of_range(radix: int) -> None:
    with pytest.raises(ValueError, match=f"radix must be 2 to 65536, not {radix}"):
        FF1(KEY, radix)


def test_radix_is_an_integer() -> None:
    with pytest.raises(TypeError):
        FF1(KEY, 10.0)


@pytest.mark.parametrize("numerals", [[], [1], np.empty((0, 1), int), np.empty((3, 0), int)])
def test_too_few_numerals(numerals: Any) -> None:
    with pytest.raises(ValueError, match=r"has 2 to 4294967295 numerals, not [01]"):
        FF1(KEY, 65536).encrypt(numerals)


def test_too_many_numerals() -> None:
    with pytest.raises(ValueError, match="numerals, not 4294967296"):
        FF1(KEY, 10).encrypt(np.empty((0, 2**32), np.uint8))


@pytest.mark.parametrize(("radix", "n"), [(10, 5), (2, 19), (999, 2), (26, 4)])
def test_domain_below_the_minimum(radix: int, n: int) -> None:
    with pytest.raises(ValueError, match="below the minimum of 1000000"):
        FF1(KEY, radix).encrypt([0] * n)
    assert len(FF1(KEY, radix, min_domain=radix**n).encrypt([0] * n)) == n


@pytest.mark.parametrize(
    ("radix", "n", "fits"),
    [
        (1, 100, False),
        (2, 100, True),
        (1 << 16, 2, True),
        ((1 << 16) + 1, 2, False),
        (10, 1, False),
        (2, (1 << 32) - 1, True),
        (2, 1 << 32, False),
    ],
)
def test_the_bounds_of_radix_and_length_are_those_of_the_standard(
    radix: int, n: int, fits: bool
) -> None:
    with contextlib.nullcontext() if fits else pytest.raises(ValueError, match=r"numerals|radix"):
        check_domain(radix, n, 1)


@pytest.mark.parametrize(("radix", "n"), [(10, 6), (2, 20), (1000, 2)])
def test_domain_at_the_minimum(radix: int, n: int) -> None:
    check_domain(radix, n, 1_000_000)
    assert FF1(KEY, radix).decrypt(FF1(KEY, radix).encrypt([1] * n)) == [1] * n


@pytest.mark.parametrize("bad", [-1, 10, 2**63 - 1, 2**63, 2**64, -(2**70)])
@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
def test_numeral_out_of_range(bad: int, operation: str) -> None:
    with pytest.raises(ValueError, match="numerals must be") as caught:
        getattr(FF1(KEY, 10), operation)([1, 2, 3, 4, 5, bad])
    assert str(bad) not in str(caught.value).replace("10 ", "")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("bad", [1.0, "7", None, True, 1j])
def test_numeral_is_not_an_integer(bad: Any) -> None:
    with pytest.raises(ValueError, match="numerals must be integers"):
        FF1(KEY, 10).encrypt([bad] * 6)


@pytest.mark.parametrize("numerals", [[[1, 2, 3], [1, 2]], np.zeros((2, 3, 4), int), 5])
def test_numerals_are_rows(numerals: Any) -> None:
    with pytest.raises(ValueError, match="one row, or an array of shape") as caught:
        FF1(KEY, 10).encrypt(numerals)
    assert caught.value.__context__ is None


def test_dtype_too_small_for_the_radix() -> None:
    with pytest.raises(ValueError, match="int8 can't hold every numeral of radix 1000"):
        FF1(KEY, 1000).encrypt(np.ones((2, 6), np.int8))


@pytest.mark.parametrize("tweak", ["tweak", None, bytearray(4)])
def test_tweak_is_bytes(tweak: Any) -> None:
    with pytest.raises(TypeError, match="a tweak is bytes"):
        FF1(KEY, 10).encrypt([0] * 9, tweak)
    with pytest.raises(TypeError, match="a tweak is bytes"):
        FF1(KEY, 10).decrypt(np.empty((0, 9), int), tweak)


def test_the_key_does_not_leak() -> None:
    cipher = FF1(b"sixteen secrets!", 10)
    assert "sixteen" not in repr(cipher)
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(cipher)
