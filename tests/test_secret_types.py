"""Concealed values show nothing of themselves."""

import copy
import dataclasses
import gc
import hmac
import json
import logging
import pickle
import traceback

import pytest

from secureml.secret_types import SecretBytes, SecretText, conceal, revealed

CANARY = "canary-7f3a9"


@dataclasses.dataclass
class Holder:
    secret: SecretText


WAYS_TO_SHOW = {
    "repr": repr,
    "str": str,
    "format": "{}".format,
    "f-string": lambda secret: f"{secret!r:>50} {secret!s}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031  # one more way to print
    "list": lambda secret: str([secret, {"secret": secret}]),
    "dataclass repr": lambda secret: repr(Holder(secret)),
    "dataclass asdict": lambda secret: repr(dataclasses.asdict(Holder(secret))),
    "json default": lambda secret: json.dumps({"secret": secret}, default=str),
    "deep copy": lambda secret: repr(copy.deepcopy(secret)),
    "copy": lambda secret: repr(copy.copy(secret)),
    "dir": lambda secret: repr({name: repr(getattr(secret, name, None)) for name in ("__doc__",)}),
}


@pytest.mark.parametrize("show", WAYS_TO_SHOW.values(), ids=WAYS_TO_SHOW.keys())
@pytest.mark.parametrize("secret", [SecretText(CANARY), SecretBytes(CANARY.encode())])
def test_no_way_of_showing_a_secret_shows_its_content(show, secret):
    assert CANARY not in show(secret)


def test_logging_shows_nothing(caplog):
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("app").debug("token %s", SecretText(CANARY))
    assert CANARY not in caplog.text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("secret", [SecretText(CANARY), SecretBytes(CANARY.encode())])
def test_pickling_is_refused_and_its_error_shows_nothing(secret, protocol):
    with pytest.raises(TypeError, match="pickled") as caught:
        pickle.dumps(secret, protocol)
    lines = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert CANARY not in "".join(lines.format())


def test_reveal_gives_the_content():
    assert SecretText(CANARY).reveal() == CANARY
    assert SecretBytes(b"\x00\xff").reveal() == b"\x00\xff"


def test_comparison_is_by_content_and_kind():
    assert SecretText("a") == SecretText("a")
    assert SecretText("a") != SecretText("b")
    assert SecretText("a") != SecretBytes(b"a")
    assert SecretText("a") != "a"


def test_a_secret_is_as_long_and_as_true_as_its_content():
    assert len(SecretBytes(bytes(32))) == 32
    assert not SecretText("")


def test_a_secret_has_no_hash():
    with pytest.raises(TypeError):
        hash(SecretText("a"))


@pytest.mark.parametrize("secret", [SecretText(CANARY), SecretBytes(CANARY.encode())])
def test_no_attribute_slot_or_state_holds_the_content(secret):
    seen = [getattr(secret, name) for name in dir(secret)]
    assert CANARY not in repr([seen, secret.__getstate__(), gc.get_referents(secret)])


@pytest.mark.parametrize("width", [">50", "^30", ".5", "x"])
def test_a_format_says_no_more_than_the_repr(width):
    shown = ""
    try:
        shown = format(SecretText(CANARY), width)
    except (TypeError, ValueError) as error:
        shown = str(error)
    assert CANARY[:5] not in shown


def test_comparison_takes_as_long_wherever_contents_differ(monkeypatch):
    compared = []

    def compare_digest(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare_digest)
    assert SecretBytes(b"ab") == SecretBytes(b"ab")
    assert SecretText("é") != SecretText("e")
    assert compared == [(b"ab", b"ab"), ("é".encode(), b"e")]


def test_conceal_returns_a_secret_unchanged():
    text, octets = SecretText("a"), SecretBytes(b"a")
    assert conceal(text) is text
    assert conceal(octets) is octets
    assert conceal("a") == text
    assert conceal(b"a") == octets


@pytest.mark.parametrize("value", [None, 5, [CANARY], bytearray(b"a")])
def test_conceal_hides_a_value_of_any_type(value):
    assert conceal(value).reveal() is value
    assert repr(conceal(value)) == "<SecretValue>"


def test_fields_are_revealed_as_they_are_stored():
    fields = {"value": SecretText("a"), "encoding": "hex", "size": 5, "more": {"b": "c"}}
    assert revealed(fields) == {"value": "a", "encoding": "hex", "size": 5, "more": {"b": "c"}}
