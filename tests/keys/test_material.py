"""Keys as text: what is read, what is refused, and that nothing is guessed."""

import base64
import copy
import dataclasses
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from secureml.errors import KeyMaterialError
from secureml.keys import (
    Key,
    KeyInfo,
    SecretBytes,
    decode,
    decode_exactly,
    encode,
    fingerprint_of,
    format_material,
)
from secureml.keys.material import check_version
from secureml.secret_types import SecretText

KEY = bytes(range(32))
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
material = st.binary(min_size=16, max_size=80)


@given(material, st.sampled_from(["hex", "base64"]))
def test_encoded_material_is_decoded(octets, encoding):
    text = encode(octets, encoding)
    assert decode(text, encoding) == octets
    assert decode_exactly(text, len(octets), encoding) == octets
    assert decode_exactly(text, len(octets)) == octets
    assert decode(f"{encoding}:{text}") == octets


@given(material)
def test_both_base64_alphabets_are_read_padded_or_not(octets):
    safe = base64.urlsafe_b64encode(octets).decode()
    for text in (safe, safe.rstrip("="), encode(octets, "base64").rstrip("=")):
        assert decode_exactly(text, len(octets)) == octets


@given(material)
def test_concealed_material_is_read_and_written_like_plain_material(octets):
    secret = SecretBytes(octets)
    assert encode(secret, "hex") == octets.hex()
    assert format_material(secret, "bytes") == octets
    assert fingerprint_of(secret) == fingerprint_of(octets)
    assert decode(SecretText(f" {octets.hex()}\n")) == octets
    assert decode_exactly(SecretText(octets.hex()), len(octets), "hex") == octets


@given(st.text(max_size=100))
def test_arbitrary_text_is_a_key_of_the_wanted_length_or_refused(text):
    refusal = ""
    octets = bytes(32)
    try:
        octets = decode_exactly(text, 32)
    except KeyMaterialError as error:
        refusal = str(error)
    assert len(octets) == 32
    assert len(text) < 6 or text not in refusal


@given(st.binary(min_size=1, max_size=60), st.integers(1, 100))
def test_material_of_another_length_is_never_stretched_or_cut(octets, wanted):
    assume(len(octets) != wanted)
    with pytest.raises(KeyMaterialError):
        decode_exactly(encode(octets, "hex"), wanted, "hex")


def test_white_space_around_a_key_is_not_part_of_it():
    assert decode_exactly(f" \t{KEY.hex()}\r\n", 32) == KEY


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        (KEY[:16].hex(), None, "16 bytes as hex and 24 bytes as base64"),
        (encode(KEY[:16], "base64"), None, "16 bytes as base64"),
        ("correct horse battery staple", None, "28 characters are not hex or base64"),
        ("", None, "0 characters"),
        (KEY.hex(), "base64", "48 bytes as base64"),
        (encode(KEY, "base64"), "hex", "are not hex"),
        (KEY.hex(), "rot13", "an encoding other than hex and base64"),
        ("hex:" + KEY.hex(), "base64", "prefix hex and declares base64"),
        ("hex:zz", None, "are not hex"),
        (encode(KEY, "base64")[:-1] + "==", None, "not hex or base64"),
        (encode(KEY, "base64").replace("/", "-").replace("+", "-") + "+-", None, "not hex or"),
    ],
)
def test_a_key_of_the_wrong_length_or_form_is_refused(text, encoding, message):
    with pytest.raises(KeyMaterialError, match=message) as caught:
        decode_exactly(text, 32, encoding, name="'k'")
    assert len(text) < 8 or text not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_refusal_says_how_to_make_a_proper_key():
    with pytest.raises(KeyMaterialError, match="generate-key --length 24"):
        decode_exactly("abcd", 24)


def test_base64_with_stray_bits_is_not_canonical_and_refused():
    text = encode(bytes(16), "base64")
    assert text.endswith("A==")
    with pytest.raises(KeyMaterialError):
        decode_exactly(text[:-3] + "B==", 16)


def test_unknown_encodings_are_refused():
    with pytest.raises(KeyMaterialError, match="'utf-8'"):
        encode(KEY, "utf-8")
    assert format_material(KEY, "bytes") == KEY
    assert format_material(KEY, "hex") == KEY.hex()


def test_fingerprints_tell_keys_apart_and_are_no_bare_hash():
    assert fingerprint_of(KEY) == fingerprint_of(bytes(range(32)))
    assert fingerprint_of(KEY) != fingerprint_of(KEY[::-1])
    assert len(fingerprint_of(KEY)) == 16


def a_key() -> Key:
    info = KeyInfo(
        name="k",
        version=3,
        fingerprint=fingerprint_of(KEY),
        source="vault",
        environment="staging",
        path="secret/secureml/staging/k",
        created=CREATED,
    )
    return Key(info=info, material=SecretBytes(KEY), fetched_at=datetime.now(UTC))


@pytest.mark.parametrize(
    "show", [repr, str, "{}".format, copy.deepcopy, dataclasses.asdict, lambda key: [key]]
)
def test_a_key_handle_does_not_show_its_material(show):
    shown = repr(show(a_key()))
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown


def test_a_key_handle_can_not_be_pickled():
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(a_key())


def test_a_key_handle_tells_its_provenance():
    key = a_key()
    assert (key.name, key.version, key.source) == ("k", 3, "vault")
    assert (key.environment, key.path) == ("staging", "secret/secureml/staging/k")
    assert key.created == CREATED
    assert key.fingerprint == fingerprint_of(KEY)
    assert key.reveal() == KEY
    assert len(key) == 32


@pytest.mark.parametrize(
    ("fields", "due"),
    [
        ({}, CREATED + timedelta(days=90)),
        ({"rotation_period": None}, None),
        ({"created": None}, None),
        ({"state": "decrypt-only"}, None),
        ({"state": "disabled"}, None),
    ],
)
def test_the_newest_version_alone_is_due_after_its_period(fields, due):
    info = dataclasses.replace(a_key().info, rotation_period=timedelta(days=90))
    assert dataclasses.replace(info, **fields).due == due


@pytest.mark.parametrize(
    ("version", "error"), [(0, KeyMaterialError), (-1, KeyMaterialError), (True, TypeError)]
)
def test_a_version_counts_from_1(version, error):
    check_version(1)
    with pytest.raises(error, match="version"):
        check_version(version)
