from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import ManifestError
from secureml.keys import derive
from secureml.pseudonymization.formats import make_format
from secureml.pseudonymization.keys import DomainKeys, Keyring
from secureml.pseudonymization.manifest import Manifest
from secureml.pseudonymization.strategies.fpe import Fpe
from secureml.pseudonymization.values.text import Text

PURPOSES = ("fpe", "tokens", "strategy_tokens", "hash", "tweaked_hash", "tables")
TEXT = st.text(st.sampled_from("a1/"), max_size=6) | st.sampled_from(
    ["prefixed/hash/1/a/b", "prefixed/fpe/0//", "1/a"]
)
OF_STRATEGY = st.tuples(st.none() | TEXT, TEXT, TEXT)
PLACE = st.tuples(st.sampled_from(PURPOSES), st.none() | TEXT, TEXT)


def purpose_of(method: str, prefix: str | None, domain: str, *arguments: object) -> str:
    asked: list[str] = []

    def derive(purpose: str, size: int) -> bytes:
        asked.append(purpose)
        return bytes(size)

    getattr(DomainKeys(derive, domain, prefix), method)(*arguments)
    return asked[0]


def test_what_keys_are_derived_for() -> None:
    assert purpose_of("hash", None, "a/b") == "pseudonymization/hash/a/b"
    assert purpose_of("hash", "é/", "b") == "pseudonymization/prefixed/hash/2/é//b"
    of_strategy = purpose_of("of_strategy", "é", "b", "acme:pin/1", 32)
    assert of_strategy == "pseudonymization/prefixed/strategy/10/acme:pin/1/1/é/b"


@given(OF_STRATEGY, OF_STRATEGY, PLACE)
def test_no_two_strategies_of_other_packages_share_a_key(
    one: tuple[str | None, str, str],
    other: tuple[str | None, str, str],
    built_in: tuple[str, str | None, str],
) -> None:
    first, second = (
        purpose_of("of_strategy", prefix, domain, name, 32) for prefix, domain, name in (one, other)
    )
    assert (first == second) == (one == other)
    assert first != purpose_of(*built_in)


@given(PLACE, PLACE)
def test_no_two_domains_share_a_key(
    one: tuple[str, str | None, str], other: tuple[str, str | None, str]
) -> None:
    assert (purpose_of(*one) == purpose_of(*other)) == (one == other)


def test_a_prefix_is_no_part_of_the_domain() -> None:
    places = [("a", "b/c"), ("a/b", "c"), (None, "a/b/c"), (None, "1/a/b/c"), ("", "a/b/c")]
    assert len({purpose_of("fpe", *place) for place in places}) == len(places)


MASTER = bytes(range(32))


def keyring(master: bytes = MASTER) -> Keyring:
    def derived(purpose: str, size: int) -> bytes:
        return derive(master, purpose, size)

    return Keyring(derived, "master_key", 1, "staging", "fingerprint 0123, from a test")


def pseudonym(master: bytes, domain: str) -> str:
    strategy = Fpe(keyring(master).domain(domain), make_format("class/1", {}))
    outcome = strategy.protect(Text.of(["123-45-6789"]))
    assert isinstance(outcome.values, Text)
    return outcome.values.strings()[0]


def test_purposes_and_sizes_are_part_of_the_format() -> None:
    asked: list[tuple[str, int]] = []

    def recording(purpose: str, size: int) -> bytes:
        asked.append((purpose, size))
        return derive(MASTER, purpose, size)

    ring = Keyring(recording, "master_key", None, None, "")
    keys = ring.domain("ssn")
    for key in (keys.fpe, keys.tokens, keys.strategy_tokens, keys.hash, keys.tables):
        key()
    Manifest.of(ring, {})
    assert asked == [
        ("pseudonymization/key-check", 16),
        ("pseudonymization/fpe/ssn", 32),
        ("pseudonymization/token/ssn", 64),
        ("pseudonymization/siv/ssn", 64),
        ("pseudonymization/hash/ssn", 32),
        ("pseudonymization/table/ssn", 32),
        ("pseudonymization/manifest", 32),
    ]


def test_domains_and_keys_separate_pseudonyms() -> None:
    assert pseudonym(MASTER, "ssn") == pseudonym(MASTER, "ssn")
    assert (
        len({pseudonym(MASTER, "ssn"), pseudonym(MASTER, "id"), pseudonym(bytes(32), "ssn")}) == 3
    )


def test_the_manifest_is_tied_to_the_key() -> None:
    manifest = Manifest.of(keyring(), {})
    manifest.check(keyring())
    assert manifest.key.check == derive(MASTER, "pseudonymization/key-check", 16).hex()
    with pytest.raises(ManifestError, match="not the same") as caught:
        manifest.check(keyring(bytes(32)))
    assert "key 'master_key' version 1 of environment 'staging'" in str(caught.value)
    assert "fingerprint 0123, from a test" in str(caught.value)
    with pytest.raises(ManifestError, match="MAC"):
        replace(manifest, mac="00" * 32).check(keyring())
    with pytest.raises(ManifestError, match="not the same"):
        replace(manifest, key=replace(manifest.key, check="é")).check(keyring())
