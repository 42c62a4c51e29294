"""A million distinct values of a format become a million distinct ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import numpy as np
import pytest

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.pseudonymization.formats import Option, make_format
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.text import Text
from secureml.registry import FORMATS

MANY = 1_000_000
KEY = bytes(range(32))


def iban(number: int) -> str:
    check = 98 - (37040044 * 10**16 + number * 10**6 + 131400) % 97
    return f"DE{check:02d}37040044{number:010d}"


def card(number: int) -> str:
    digits = f"4{number:014d}"
    total = sum(int(one) for one in digits[1::2])
    total += sum(2 * int(one) // 10 + 2 * int(one) % 10 for one in digits[::2])
    return f"{digits}{-total % 10}"


def moment(number: int) -> str:
    return (datetime(2001, 2, 3) + timedelta(seconds=97 * number)).isoformat()


VALUES: Mapping[str, tuple[Mapping[str, Option], Callable[[int], str]]] = {
    "class/1": ({}, lambda n: f"Ab{n:07d}"),
    "digits/1": ({}, lambda n: f"{n:09d}"),
    "letters/1": ({}, lambda n: "".join(chr(97 + n // 26**k % 26) for k in range(6))),
    "alphabet/1": ({"characters": "0123456789ABCDEF"}, lambda n: f"{n * 4099:010X}"),
    "ssn/1": ({}, lambda n: f"{1 + n // 20_000:03d}-{1 + n % 20_000 // 500:02d}-{1 + n % 500:04d}"),
    "credit_card/1": ({}, card),
    "iban/1": ({}, iban),
    "email/1": ({}, lambda n: f"user{n:07d}@example.com"),
    "phone/1": ({}, lambda n: f"+1 212 {200 + n // 10_000 % 800} {n % 10_000:04d}"),
    "regex/2": ({"pattern": r"[A-Z]{2}-(\d{7})"}, lambda n: f"AB-{n:07d}"),
    "integer/1": ({"minimum": -(10**7), "maximum": 10**7}, str),
    "decimal/1": ({"scale": 2}, lambda n: f"{10**6 + n}.{n % 100:02d}"),
    "date/1": ({"start": "0001-01-01", "end": "9999-12-31"}, lambda n: moment(900 * n)[:10]),
    "datetime/1": ({}, moment),
    "uuid/1": ({}, lambda n: f"{n:08x}-4f0b-4b59-9f9a-0d6bd6b1ac44"),
    "ipv4/1": ({}, lambda n: f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"),
    "ipv6/1": (
        {"keep_prefix": 64},
        lambda n: f"2001:db8:0:1:{n >> 16 | 1:x}:{n & 65535 | 1:x}:1:2",
    ),
}


@pytest.mark.parametrize("name", [name for name in FORMATS.built_in if name != "regex/1"])
def test_no_two_values_become_one(name: str) -> None:
    options, value = VALUES[name]
    form = make_format(name, options)
    values = list(dict.fromkeys(map(value, range(29_000 if name == "date/1" else MANY))))
    permutation = Permutation(IntegerFF1(KEY), tables=SmallDomainCipher(KEY))
    made = transform(form, Text.of(values), permutation)
    assert not len(made.small.rows)
    valid = np.setdiff1d(np.arange(len(values)), made.invalid)
    assert len(valid) > (0.25 if name == "phone/1" else 0.95) * len(values)
    pseudonyms = made.values.strings()
    assert len({pseudonyms[row] for row in valid.tolist()}) == len(valid)
    assert sum(pseudonyms[row] == values[row] for row in valid[:10_000].tolist()) < 3
