"""What goes through a masker shows no secret, however it is read and written."""

from __future__ import annotations

import base64
import itertools
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.cli.programs.masking import MASK, Masker
from secureml.secret_types import SecretBytes

SECRET = "pä$$ wörd/+&?"


def masked(chunks, *secrets):
    masker = Masker(map(SecretBytes, secrets))
    return b"".join(map(masker.feed, chunks)) + masker.feed(b"", final=True)


def expected(text, secrets):
    """Mask by the definition: every byte of every occurrence, those that overlap as one."""
    inside = [0] * (len(text) + 1)
    begins = set()
    for secret in filter(None, secrets):
        for start in range(len(text) - len(secret) + 1):
            if text[start : start + len(secret)] == secret:
                begins.add(start)
                for place in range(start, start + len(secret) - 1):
                    inside[place] = 2  # the next byte belongs to the same secret
                inside[start + len(secret) - 1] = max(inside[start + len(secret) - 1], 1)
    out, joined = b"", False
    for place, byte in enumerate(text):
        if not inside[place]:
            out += bytes([byte])
        elif not joined:
            out += MASK
        joined = inside[place] == 2
    return out


@given(
    text=st.text("ab", max_size=30),
    secrets=st.lists(st.text("ab", min_size=1, max_size=5), max_size=3),
    cuts=st.lists(st.integers(0, 30), max_size=6),
)
def test_every_way_to_read_gives_what_masking_the_whole_text_gives(text, secrets, cuts):
    text, secrets = text.encode(), [secret.encode() for secret in secrets]
    places = [0, *sorted(cuts), len(text)]
    chunks = [text[a:b] for a, b in itertools.pairwise(places)]
    assert masked(chunks, *secrets) == expected(text, secrets)


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        urllib.parse.quote(SECRET, safe=""),
        urllib.parse.quote_plus(SECRET),
        urllib.parse.quote(SECRET, safe="").lower(),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        SECRET.encode().hex(),
    ],
)
def test_the_forms_that_programs_print_are_masked(form):
    out = masked([f"value={form};".encode()], SECRET.encode())
    assert out in (b"value=***;", b"value=***=;", b"value=***==;")


@pytest.mark.parametrize("user", ["", "u", "us", "use"])
@pytest.mark.parametrize("behind", ["", "x", "xy", "xyz"])
def test_base64_of_more_than_the_secret_gives_no_digit_of_the_secret_alone(user, behind):
    secret = b"correct horse battery"
    whole = base64.b64encode(user.encode() + secret + behind.encode())
    out = masked([whole], secret)
    assert MASK in out
    assert len(out.replace(MASK, b"").rstrip(b"=")) <= (len(user + behind) * 8) // 6 + 2


def test_each_longer_line_of_a_secret_is_masked_alone():
    secret = b"-----BEGIN KEY-----\nMIIEvQIBADAN\r\nab\n-----END KEY-----\n"
    out = masked([b"1: MIIEvQIBADAN\n2: ab\n"], secret)
    assert out == b"1: ***\n2: ab\n"


def test_what_can_not_be_the_beginning_of_a_secret_goes_out_at_once():
    masker = Masker([SecretBytes(b"secret")])
    assert masker.feed(b"Password: ") == b"Password: "
    assert masker.feed(b"is se") == b"is "
    assert masker.feed(b"t") == b"set"


def test_a_long_run_of_overlapping_secrets_takes_no_memory():
    masker = Masker([SecretBytes(b"aaaa")])
    out = b"".join(masker.feed(b"a" * 1000) for _ in range(1000))
    assert out + masker.feed(b"b", final=True) == b"***b"
    assert len(masker._held) < 4


def test_an_empty_secret_masks_nothing():
    assert masked([b"abc"], b"") == b"abc"


def test_a_masker_shows_no_secret():
    masker = Masker([SecretBytes(b"hunter22")])
    masker.feed(b"hunter")
    assert "hunter" not in repr(vars(masker))
