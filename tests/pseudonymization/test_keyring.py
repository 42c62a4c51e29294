from __future__ import annotations

from dataclasses import replace

import pytest

from secureml.errors import ManifestError
from secureml.keys import derive
from secureml.pseudonymization.formats import make_format
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.strategies.fpe import Fpe
from secureml.pseudonymization.values.text import Text

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
    ring.sign({})
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
    manifest = keyring().sign({})
    keyring().verify(manifest)
    assert manifest.key.check == derive(MASTER, "pseudonymization/key-check", 16).hex()
    with pytest.raises(ManifestError, match="not the same") as caught:
        keyring(bytes(32)).verify(manifest)
    assert "key 'master_key' version 1 of environment 'staging'" in str(caught.value)
    assert "fingerprint 0123, from a test" in str(caught.value)
    with pytest.raises(ManifestError, match="MAC"):
        keyring().verify(replace(manifest, mac="00" * 32))
    with pytest.raises(ManifestError, match="not the same"):
        keyring().verify(replace(manifest, key=replace(manifest.key, check="é")))
