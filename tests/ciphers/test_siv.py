"""AES-SIV tokens: RFC 5297's example, exact recovery, and refusal of everything else."""

from __future__ import annotations

import base64
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers.siv import SivToken

KEY = bytes(range(64))
texts = st.text(st.characters(exclude_categories=()), min_size=1)  # lone surrogates too


def siv(key: bytes, context: bytes, plaintext: bytes) -> bytes:
    """AES-SIV with one string of associated data, written down from RFC 5297, 2.4 to 2.6."""

    def cmac(data: bytes) -> bytes:
        mac = CMAC(AES(key[: len(key) // 2]))
        mac.update(data)
        return mac.finalize()

    def xor(left: bytes, right: bytes) -> bytes:
        return bytes(a ^ b for a, b in zip(left, right, strict=True))

    def double(block: bytes) -> bytes:
        number = int.from_bytes(block, "big") << 1
        return ((number ^ (0x87 if number >> 128 else 0)) % 2**128).to_bytes(16, "big")

    chain = xor(double(cmac(bytes(16))), cmac(context))
    if len(plaintext) >= 16:
        last = plaintext[:-16] + xor(plaintext[-16:], chain)
    else:
        last = xor(double(chain), plaintext + b"\x80" + bytes(15 - len(plaintext)))
    tag = cmac(last)
    start = int.from_bytes(tag, "big") & ~(1 << 63) & ~(1 << 31)
    stream = Cipher(AES(key[len(key) // 2 :]), CTR(start.to_bytes(16, "big"))).encryptor()
    return tag + stream.update(plaintext)


def test_example_of_the_rfc() -> None:
    sealed = siv(
        bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
        bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627"),
        bytes.fromhex("112233445566778899aabbccddee"),
    )
    assert sealed.hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"


@pytest.mark.parametrize("size", [32, 48, 64])
@given(text=texts, context=st.binary())
def test_tokens_are_aes_siv(size: int, text: str, context: bytes) -> None:
    sealed = siv(KEY[:size], context, text.encode("utf-8", "surrogatepass"))
    token = base64.b32encode(sealed).decode().rstrip("=").lower()
    assert SivToken(KEY[:size]).seal(text, context) == token


@pytest.mark.parametrize("size", [32, 48, 64])
@given(text=texts, context=st.binary())
def test_round_trip(size: int, text: str, context: bytes) -> None:
    cipher = SivToken(KEY[:size])
    token = cipher.seal(text, context)
    assert re.fullmatch(r"[a-z2-7]{28,}", token)
    assert cipher.open(token, context) == text
    assert cipher.seal(text, context) == token


def test_tokens_never_change() -> None:
    cipher = SivToken(KEY)
    assert [cipher.seal(text, b"name") for text in ("Bo", "Jörg", "\ud800")] == GOLDEN


GOLDEN = [
    "47b664bdt3ovbswa6ugqzfvmpgtfa",
    "tyhdzvytxaqcstjwtuytmutolremq243uy",
    "zjobp56kqjubk7r2mocr72opy5ypqry",
]


def test_key_text_and_context_all_matter() -> None:
    tokens = {
        SivToken(KEY).seal("Bo", b"a"),
        SivToken(KEY).seal("bo", b"a"),
        SivToken(KEY).seal("Bo", b"b"),
        SivToken(KEY).seal("Bo", b""),
        SivToken(KEY[::-1]).seal("Bo", b"a"),
        SivToken(KEY[:32]).seal("Bo", b"a"),
    }
    assert len(tokens) == 6


def test_no_collision_among_100_000_values() -> None:
    cipher = SivToken(KEY)
    assert len({cipher.seal(str(number), b"id") for number in range(100_000)}) == 100_000


def test_every_changed_character_is_refused() -> None:
    cipher = SivToken(KEY)
    token = cipher.seal("Ann", b"name")
    changed = [
        token[:place] + other + token[place + 1 :]
        for place in range(len(token))
        for other in "abcdefghijklmnopqrstuvwxyz234567"
        if other != token[place]
    ]
    assert len(changed) == 31 * len(token)
    for other in changed:
        with pytest.raises(ValueError, match="was not sealed"):
            cipher.open(other, b"name")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: "",
        lambda token: "a",
        lambda token: "aaaaaaaa",
        lambda token: token[:-1],
        lambda token: token + "a",
        lambda token: token + "=",
        lambda token: token.upper(),
        lambda token: " " + token,
        lambda token: token + "\n",
        lambda token: token[:5] + "1" + token[6:],
        lambda token: token[:5] + "ſ" + token[6:],
        lambda token: token[:5] + "\ud800" + token[6:],
        lambda token: token[:8],
    ],
)
def test_what_is_no_token_is_refused(spoil: Any) -> None:
    cipher = SivToken(KEY)
    token = spoil(cipher.seal("Ann Lee", b"name"))
    with pytest.raises(ValueError, match="was not sealed") as caught:
        cipher.open(token, b"name")
    assert caught.value.__context__ is None
    assert len(token) < 10 or token not in str(caught.value)


def test_another_context_or_key_is_refused() -> None:
    token = SivToken(KEY).seal("Ann", b"name")
    for cipher, context in ((SivToken(KEY), b"city"), (SivToken(KEY[::-1]), b"name")):
        with pytest.raises(ValueError, match="was not sealed") as caught:
            cipher.open(token, context)
        assert caught.value.__context__ is None


def test_threads_share_one() -> None:
    cipher = SivToken(KEY)
    names = [f"name {number}" for number in range(2000)]
    expected = [cipher.seal(name, b"name") for name in names]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda name: cipher.seal(name, b"name"), names)) == expected
        assert list(pool.map(lambda token: cipher.open(token, b"name"), expected)) == names


def test_empty_text_is_refused() -> None:
    with pytest.raises(ValueError, match="empty text"):
        SivToken(KEY).seal("", b"name")


@pytest.mark.parametrize("size", [0, 16, 31, 33, 63, 65, 128])
def test_wrong_key_size(size: int) -> None:
    with pytest.raises(ValueError, match=f"32, 48 or 64 octets, not {size}"):
        SivToken(bytes(size))


@pytest.mark.parametrize("key", ["0" * 64, bytearray(64), None])
def test_key_is_bytes(key: Any) -> None:
    with pytest.raises(TypeError, match="bytes, not"):
        SivToken(key)


def test_the_key_does_not_leak() -> None:
    cipher = SivToken(b"thirty-two octets, and no more!!")
    assert "thirty" not in repr(cipher)
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(cipher)
