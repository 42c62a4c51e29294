"""The file of a whole key: what an earlier version wrote is read for ever, and written alike."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from secureml.errors import KeyMaterialError
from secureml.keys.export import (
    ExportedVersion,
    KeyExport,
    for_passphrase,
    for_public_key,
    with_passphrase,
    with_private_key,
)
from secureml.secret_types import SecretBytes, SecretText

GOLDEN = Path(__file__).parents[1] / "golden"
PASSPHRASE = SecretText("correct horse battery staple")
PRIVATE = X25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = SecretBytes(PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(32)).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
OPENERS = {"passphrase": with_passphrase(PASSPHRASE), "x25519": with_private_key(PEM)}


def file_of(kind: str) -> bytes:
    return (GOLDEN / f"export_1_{kind}.json").read_bytes()


@pytest.mark.parametrize("kind", OPENERS)
def test_a_file_of_schema_1_is_opened(kind):
    export = KeyExport.opened(file_of(kind), OPENERS[kind])
    assert (export.name, export.environment) == ("k/é", "staging")
    assert export.exported == "2026-02-01T00:00:00+00:00"
    assert export.custom_metadata == {"purpose": "orders", "zeta": "1", "alpha": "2"}
    assert [each.version for each in export.versions] == [1, 2, 4]
    assert [each.state for each in export.versions] == ["decrypt-only", "destroyed", "enabled"]
    assert [each.created for each in export.versions] == [
        f"2026-01-0{day}T10:00:00+00:00" for day in (1, 2, 4)
    ]
    assert [each.encoding for each in export.versions] == ["hex", "hex", "base64"]
    first, destroyed, last = export.versions
    assert first.material is not None
    assert last.material is not None
    assert first.material.reveal() == bytes(range(1, 33))
    assert last.material.reveal() == bytes(range(4, 36))
    assert (destroyed.material, destroyed.fingerprint) == (None, None)
    assert [dict(each.beside) for each in export.versions] == [{"note": "first"}, {}, {}]


@pytest.mark.parametrize(
    ("kind", "protection"),
    [("passphrase", for_passphrase(PASSPHRASE)), ("x25519", for_public_key(PUBLIC))],
)
def test_a_file_is_written_as_schema_1_has_it(kind, protection):
    golden = json.loads(file_of(kind))
    made = json.loads(KeyExport.opened(file_of(kind), OPENERS[kind]).sealed(protection))
    fresh = ("salt", "ephemeral")
    for document in (golden, made):
        assert len(document.pop("nonce")) == 24
        assert len(document.pop("sealed")) > 200
        assert {len(document["protection"].pop(name, "")) for name in fresh} <= {0, 32, 64}
    assert made == golden


def test_an_export_without_an_environment_is_opened():
    export = KeyExport.opened(file_of("x25519"), OPENERS["x25519"])
    file = replace(export, environment=None).sealed(for_public_key(PUBLIC))
    assert KeyExport.opened(file, OPENERS["x25519"]) == replace(export, environment=None)


@pytest.mark.parametrize(
    ("change", "value"),
    [("environment", 1), ("name", None), ("exported", 5), ("versions", []), ("schema", 2)],
)
def test_a_header_of_other_types_is_refused(change, value):
    file = json.dumps(json.loads(file_of("x25519")) | {change: value}).encode()
    with pytest.raises(KeyMaterialError, match=r"the export (can't be read|is of a schema)"):
        KeyExport.opened(file, OPENERS["x25519"])


@pytest.mark.parametrize(("kind", "asked"), [("passphrase", "x25519"), ("x25519", "passphrase")])
def test_the_refusal_names_the_protection_that_opens_the_file(kind, asked):
    with pytest.raises(KeyMaterialError, match=f"protected by {kind}, and not by {asked}"):
        KeyExport.opened(file_of(kind), OPENERS[asked])


def changed(kind: str, **fields: object) -> bytes:
    """The file of an export whose first version says something else, sealed all the same."""
    export = KeyExport.opened(file_of(kind), OPENERS[kind])
    first, *others = export.versions
    return replace(export, versions=[replace(first, **fields), *others]).sealed(
        for_public_key(PUBLIC)
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"fingerprint": "0" * 16},
        {"fingerprint": None},
        {"material": None},
        {"version": 3},
        {"version": 0},
        {"version": 1 << 62},
        {"encoding": "rot13"},
        {"state": 5},
    ],
)
def test_versions_that_do_not_fit_together_are_refused(fields):
    with pytest.raises(KeyMaterialError, match="can't be read, or what it says does not fit"):
        KeyExport.opened(changed("x25519", **fields), OPENERS["x25519"])


def test_a_version_does_not_show_what_it_holds():
    material = SecretBytes(bytes(range(32)))
    beside = {"note": "ask the night shift"}
    version = ExportedVersion(version=1, state="enabled", material=material, beside=beside)
    assert repr(version).startswith("ExportedVersion(version=1, state='enabled'")
    assert not any(shown in repr(version) for shown in ("note", "night", "material", "beside"))


def test_a_file_too_large_for_an_export_is_not_parsed():
    with pytest.raises(KeyMaterialError, match="too large"):
        KeyExport.opened(b" " * (64 * 2**20 + 1), OPENERS["x25519"])


@pytest.mark.parametrize("pem", [b"no key", ED25519])
def test_a_private_key_of_another_kind_is_refused(pem):
    with pytest.raises(KeyMaterialError, match="no X25519 key in PEM"):
        with_private_key(SecretBytes(pem))
