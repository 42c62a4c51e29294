from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pytest

from secureml.errors import PseudonymizationError
from secureml.keys import derive
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies.hash import Hash, collision_probability
from secureml.pseudonymization.values.text import Text

KEY = bytes(range(32))


def keys(domain: str = "customer") -> DomainKeys:
    return DomainKeys(lambda purpose, size: derive(KEY, purpose, size), domain)


def hashes(strategy: Hash, values: list[str]) -> list[str]:
    made = strategy.protect(Text.of(values)).values
    assert isinstance(made, Text)
    return made.strings()


@pytest.mark.parametrize("bits", [32, 64, 128, 256])
def test_a_hash_is_hmac_sha256_cut_to_its_width(bits: int) -> None:
    key = derive(KEY, "pseudonymization/hash/customer", 32)
    whole = hmac.new(key, "Łukasz".encode(), hashlib.sha256).hexdigest()
    assert hashes(Hash(keys(), bits=bits), ["Łukasz", ""]) == [whole[: bits // 4], ""]


def test_base32_says_the_same_in_fewer_characters() -> None:
    (made,) = hashes(Hash(keys(), encoding="base32"), ["Ann"])
    assert len(made) == 26
    assert made == made.lower()


def test_equal_values_of_one_domain_get_equal_hashes() -> None:
    one, two, three = hashes(Hash(keys()), ["Ann", "Bob", "Ann"])
    assert one == three != two
    assert hashes(Hash(keys("other")), ["Ann"]) != [one]


def test_a_row_tweak_makes_them_differ() -> None:
    tweaks = RowTweaks([b"one", b"two"], np.array([0, 1, 0]))
    one, two, three = hashes(Hash(keys(), tweaks), ["Ann", "Ann", "Ann"])
    assert one == three != two


def test_there_is_no_way_back() -> None:
    with pytest.raises(PseudonymizationError, match="can't be reversed"):
        Hash(keys()).recover(Text.of(["00"]), Text.of)


@pytest.mark.parametrize("options", [{"bits": 24}, {"bits": 65}, {"bits": 264}, {"bits": True}])
def test_the_width_is_checked(options: dict[str, int]) -> None:
    with pytest.raises(PseudonymizationError, match="multiple of 8 from 32 to 256"):
        Hash(keys(), **options)


def test_the_encoding_is_checked() -> None:
    with pytest.raises(PseudonymizationError, match="base64"):
        Hash(keys(), encoding="base64")


def test_the_collision_probability_is_the_birthday_bound() -> None:
    assert collision_probability(23, 8) == pytest.approx(0.627, abs=0.01)
    assert collision_probability(1_000_000, 128) == pytest.approx(1.469e-27, rel=1e-3)
    assert collision_probability(1, 64) == 0
    assert collision_probability(1 << 40, 32) == 1


def test_short_hashes_do_collide_about_as_often_as_that() -> None:
    made = hashes(Hash(keys(), bits=32), [str(number) for number in range(200_000)])
    expected = 200_000**2 / 2**33
    assert 200_000 - len(set(made)) <= 4 * expected
    assert len(set(made)) > 199_900


def test_no_text_without_a_tweak_gets_the_hash_of_one_with_a_tweak() -> None:
    tweaks = RowTweaks([b"2026"], np.array([0]))
    crafted = "row/1" + "\0" * 7 + "\x04" + "2026" + "Ann"
    assert hashes(Hash(keys(), tweaks), ["Ann"]) != hashes(Hash(keys()), [crafted])
    key = derive(KEY, "pseudonymization/tweaked-hash/customer", 32)
    whole = hmac.new(key, crafted.encode(), hashlib.sha256).hexdigest()
    assert hashes(Hash(keys(), tweaks), ["Ann"]) == [whole[:32]]
