"""HKDF derivation: known answers, separation, and every refusal."""

import hashlib
import hmac
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import KeyMaterialError
from secureml.keys import MAXIMUM_SIZE, SecretBytes, derive

BASE = bytes(range(32))
PURPOSES = ["a", "b", "ab", "a\x00b", "a" * 300, "é", "\udc80"]


def hkdf(key: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 written out with nothing but the standard library's HMAC."""
    extracted = hmac.digest(bytes(32), key, hashlib.sha256)
    blocks, block = b"", b""
    for counter in range(1, -(-size // 32) + 1):
        block = hmac.digest(extracted, block + info + bytes([counter]), hashlib.sha256)
        blocks += block
    return blocks[:size]


@given(
    st.binary(min_size=16, max_size=64), st.text(min_size=1), st.integers(1, 200) | st.just(8160)
)
def test_derive_is_hkdf_with_purpose_and_size_in_the_info(base, purpose, size):
    octets = purpose.encode("utf-8", "surrogatepass")
    info = b"secureml/derive/v1" + len(octets).to_bytes(4, "big") + octets + size.to_bytes(4, "big")
    assert derive(base, purpose, size) == hkdf(base, info, size)


def test_derived_keys_have_the_golden_values():
    assert derive(BASE, "pseudonymization/fpe/ssn", 32).hex() == (
        "1e4e9d2c6e9fe9f13df72ecaaacd4cac2ec82684d8182ab44ee9e44cfcefca51"
    )
    assert derive(BASE, "x", 1).hex() == "ae"
    assert derive(SecretBytes(BASE), "x", 1).hex() == "ae"


def test_purposes_and_sizes_never_share_a_prefix():
    outputs = [derive(BASE, purpose, size) for purpose in PURPOSES for size in (16, 17, 32, 64)]
    for one, other in itertools.combinations(outputs, 2):
        assert one[:16] != other[:16]


def test_the_largest_size():
    assert len(derive(BASE, "p", MAXIMUM_SIZE)) == 8160


@pytest.mark.parametrize(
    ("base", "purpose", "size", "message"),
    [
        (b"", "p", 32, "0 bytes"),
        (bytes(15), "p", 32, "15 bytes"),
        (BASE, "", 32, "empty purpose"),
        (BASE, "p", 0, "0 bytes asked for"),
        (BASE, "p", -1, "-1 bytes asked for"),
        (BASE, "p", 8161, "8161 bytes asked for"),
    ],
)
def test_a_wrong_base_purpose_or_size_is_refused(base, purpose, size, message):
    with pytest.raises(KeyMaterialError, match=message):
        derive(base, purpose, size)
