"""A second, slow implementation of the format, straight from its definition."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import cache
from importlib.resources import files

import pytest

from secureml.ciphers.ff1 import FF1
from secureml.ciphers.integer_ff1 import IntegerFF1, numerals_for
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import MIN_DOMAIN, Permutation

KEY = bytes(range(32))


@cache
def class_table() -> tuple[dict[str, tuple[int, int]], list[list[str]]]:
    """Each character's class and rank, and the members of each class, from the table's text."""
    table = (
        files("secureml.pseudonymization.tables")
        .joinpath("character_classes.txt")
        .read_text("ascii")
    )
    members: list[list[str]] = []
    for line in table.splitlines():
        if line.startswith("#"):
            continue
        members.append([])
        for span in line.split(": ")[1].split(" "):
            bounds, step = [*span.split("/"), "1"][:2]
            first, last = (bounds.split("-") * 2)[:2]
            members[-1] += map(chr, range(int(first, 16), int(last, 16) + 1, int(step)))
    place = {
        character: (number, rank)
        for number, alphabet in enumerate(members)
        for rank, character in enumerate(alphabet)
    }
    return place, members


def slow_encrypt(value: str, key: bytes = KEY) -> str:
    """Encrypt one value with plain integers and single calls of FF1."""
    place, members = class_table()
    symbols = [0x110000 + place[c][0] if c in place else ord(c) for c in value]
    tweak = b"class/1" + b"".join(struct.pack(">I", symbol) for symbol in symbols)
    classes = [place[c][0] for c in value if c in place]
    ranks = [place[c][1] for c in value if c in place]
    sizes = [len(members[number]) for number in classes]
    if len(set(classes)) == 1:
        new = FF1(key, sizes[0]).encrypt(ranks, tweak)
    else:
        new = _walk(ranks, sizes, tweak, key)
    fresh = iter(members[number][rank] for number, rank in zip(classes, new, strict=True))
    return "".join(next(fresh) if c in place else c for c in value)


def _walk(ranks: list[int], sizes: list[int], tweak: bytes, key: bytes) -> list[int]:
    size = math.prod(sizes)
    radix, n = numerals_for(size)
    number = 0
    for rank, count in zip(ranks, sizes, strict=True):
        number = number * count + rank
    while True:
        numerals = [number // radix ** (n - 1 - i) % radix for i in range(n)]
        number = 0
        for numeral in FF1(key, radix).encrypt(numerals, tweak):
            number = number * radix + int(numeral)
        if number < size:
            break
    digits = []
    for count in reversed(sizes):
        number, digit = divmod(number, count)
        digits.append(digit)
    return digits[::-1]


@pytest.fixture(scope="session")
def key() -> bytes:
    return KEY


@pytest.fixture(scope="session")
def cipher() -> IntegerFF1:
    return IntegerFF1(KEY, min_domain=MIN_DOMAIN)


@pytest.fixture(scope="session")
def forward(cipher: IntegerFF1) -> Permutation:
    """What encrypts under the key of octets 0 to 31."""
    return Permutation(cipher)


@pytest.fixture(scope="session")
def backward(cipher: IntegerFF1) -> Permutation:
    """The inverse of ``forward``."""
    return Permutation(cipher, decrypt=True)


@pytest.fixture(scope="session")
def domain_keys() -> Callable[[str], DomainKeys]:
    """Make the keys of a domain; each has the octets from 0 on, whatever its purpose."""
    return lambda domain: DomainKeys(lambda purpose, size: bytes(range(size)), domain)


@pytest.fixture(scope="session")
def reference() -> Callable[[str], str]:
    return slow_encrypt


@pytest.fixture(scope="session")
def walk() -> Callable[[list[int], list[int], bytes], list[int]]:
    """Encrypt a number of mixed radix by single calls of FF1."""
    return lambda ranks, sizes, tweak: _walk(ranks, sizes, tweak, KEY)


@pytest.fixture(scope="session")
def class_of() -> Callable[[str], int | str]:
    """The class of a character, or the character itself if it is of none."""
    place, _ = class_table()
    return lambda character: place[character][0] if character in place else character
