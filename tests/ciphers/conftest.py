"""A second implementation of FF1 to compare with, and the samples of the standard."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

# Every code point that is a character of its own, so that any radix has an alphabet.
CHARACTERS = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x12000)]))
SAMPLES = Path(__file__).parents[1] / "vectors" / "nist_ff1_samples.json"
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"

Encrypt = Callable[[bytes, int, Sequence[int], bytes], list[int]]


@dataclass(frozen=True)
class Sample:
    name: str
    key: bytes
    tweak: bytes
    radix: int
    plaintext: list[int]
    ciphertext: list[int]


def _samples() -> list[Sample]:
    return [
        Sample(
            test["name"],
            bytes.fromhex(test["key_hex"]),
            bytes.fromhex(test["tweak_hex"]),
            test["radix"],
            [BASE36.index(character) for character in test["plaintext"]],
            [BASE36.index(character) for character in test["ciphertext"]],
        )
        for test in json.loads(SAMPLES.read_text())["tests"]
    ]


@pytest.fixture(params=_samples(), ids=lambda sample: sample.name)
def sample(request: pytest.FixtureRequest) -> Sample:
    """One of the nine samples that NIST publishes with SP 800-38G."""
    return request.param


@pytest.fixture(scope="session")
def independent() -> Encrypt:
    """Another author's FF1, on lists of numerals."""
    ffx = pytest.importorskip("ffx", reason="libffx is not installed; the dev extra brings it")

    def encrypt(key: bytes, radix: int, numerals: Sequence[int], tweak: bytes) -> list[int]:
        alphabet = CHARACTERS[:radix]
        cipher = ffx.FF1(key, alphabet=alphabet, allow_small_domain=True)
        text = cipher.encrypt("".join(alphabet[numeral] for numeral in numerals), tweak=tweak)
        return [alphabet.index(character) for character in text]

    return encrypt
