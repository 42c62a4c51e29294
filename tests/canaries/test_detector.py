"""The detector finds what it is to find: without that, no other test here means anything."""

from __future__ import annotations

import base64
import logging
import pickle
import pprint
import reprlib

import numpy as np
import pytest

from secureml.keys import derive
from secureml.secret_types import SecretBytes

LEAKS = {
    "repr": repr,
    "hex": bytes.hex,
    "upper-case hex": lambda octets: octets.hex().upper(),
    "spaced hex": lambda octets: octets.hex(" "),
    "base64": lambda octets: base64.b64encode(octets).decode(),
    "url-safe base64": lambda octets: base64.urlsafe_b64encode(octets).decode(),
    "base64 over several lines": lambda octets: base64.encodebytes(octets * 3).decode(),
    "decimal": lambda octets: str(int.from_bytes(octets, "big")),
    "little-endian decimal": lambda octets: str(int.from_bytes(octets, "little")),
    "words": lambda octets: repr(np.frombuffer(octets, ">u8")),
    "list of integers": lambda octets: str(list(octets)),
    "latin-1 text": lambda octets: repr(octets.decode("latin-1")),
    "raw octets": lambda octets: b"before" + octets + b"after",
    "a pickle": pickle.dumps,
    "cut by reprlib": reprlib.repr,
    "cut hex": lambda octets: octets.hex()[:12] + "...",
    "pprint": lambda octets: pprint.pformat({"key": octets}),
    "an array's buffer": lambda octets: np.frombuffer(octets, "u1").tobytes(),
    "a log message": lambda octets: logging.makeLogRecord(
        {"msg": "%r", "args": (octets,)}
    ).getMessage(),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS.keys())
@pytest.mark.parametrize("which", ["the key", "a derived key"])
def test_every_spelling_is_found(scene, leaks, leak, which):
    octets = scene.material()
    if which == "a derived key":
        octets = derive(octets, f"pseudonymization/fpe/{scene.column}", 32)
    assert leaks(leak(octets))


def test_the_detector_finds_nothing_in_text_without_the_key(leaks):
    assert not leaks(repr(SecretBytes(bytes(32))) + bytes(range(256)).hex())
    assert not leaks(bytes(range(256)))


def test_every_report_of_an_error_is_searched(scene, leaks):
    def careless(octets: bytes) -> None:
        raise ValueError(f"not a key: {octets!r}")

    with pytest.raises(ValueError, match="not a key") as caught:
        careless(scene.material())
    found = leaks(caught.value)
    assert found.keys() == {"traceback with locals", "rich", "frames", "logging", "attributes"}


def test_a_variable_of_a_frame_is_found_wherever_variables_are_shown(scene, leaks):
    def careless(octets: bytes) -> None:
        raise ValueError("not a key")

    with pytest.raises(ValueError, match="not a key") as caught:
        careless(scene.material())
    assert leaks(caught.value).keys() == {"traceback with locals", "rich", "frames"}


def test_an_attribute_of_an_object_in_a_frame_is_found(scene, leaks):
    class Careless:
        __module__ = "secureml.careless"

        def __init__(self, octets: bytes) -> None:
            self.octets = octets

        def fail(self) -> None:
            raise ValueError("not a key")

    careless = Careless(scene.material())
    with pytest.raises(ValueError, match="not a key") as caught:
        careless.fail()
    assert leaks(caught.value).keys() == {"frames"}
