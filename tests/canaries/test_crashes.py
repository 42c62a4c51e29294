"""Errors that pass through our code while it holds a key: no report of them shows the key.

A report here shows the variables of every frame, as tracebacks by rich, by pytest, by debuggers
and by error collectors do. An exception from outside, such as KeyboardInterrupt, may strike in
the midst of another library's frames, which hold what they were given.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from secureml import anonymize, reidentify, rekey
from secureml.ciphers.aes import BlockCipher
from secureml.ciphers.ff1 import FF1
from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.siv import SivToken
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.errors import SecretExistsError, SecureMLError, VaultUnavailableError
from secureml.key_management import KeyManager
from secureml.keys import decode, decode_exactly, derive, encode, fingerprint_of, format_material
from secureml.pseudonymization.sketch import Sketcher
from secureml.secret_types import SecretBytes, SecretText
from secureml.stores import MemoryStore, Record


class LosingStore(MemoryStore):
    """Writes fail as they do in Vault: another writer is first, or the answer doesn't come."""

    def __init__(self, kind: type[SecureMLError]) -> None:
        super().__init__()
        self.kind: type[SecureMLError] | None = None
        self._failure = kind

    def break_down(self) -> None:
        self.kind = self._failure

    def write(self, name: str, fields: Mapping[str, object], *, cas: int | None) -> Record:
        if self.kind is not None:
            raise self.kind("nothing was written")
        return super().write(name, fields, cas=cas)


def hexadecimal(scene) -> str:
    return scene.material().hex()


def base64_text(scene) -> str:
    return base64.b64encode(scene.material()).decode()


def losing(scene, kind: type[SecureMLError], change) -> None:
    store = LosingStore(kind)
    with KeyManager(store=store, environment="development") as manager:
        manager.import_key("k", scene.material())
        store.break_down()
        change(manager)


def stored(scene, fields, read) -> None:
    """Read what was stored; ``fields`` makes it, so that no variable here holds it."""
    scene.store.write("odd", fields(), cas=0)
    read(scene.manager)


def from_variable(scene, text, read) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECUREML_K", text(scene))
        with KeyManager(environment="staging") as manager:
            read(manager)


def pseudonymized(scene, **more) -> pd.DataFrame:
    arguments = {"sensitive_columns": [scene.column], "key_manager": scene.manager} | more
    return anonymize(scene.table(), **arguments)


def with_another_master_key(scene) -> KeyManager:
    manager = KeyManager(store=MemoryStore(), environment="development")
    manager.generate_key("master_key")
    return manager


def forged(frame: pd.DataFrame) -> dict[str, object]:
    manifest = json.loads(json.dumps(frame.attrs["secureml"]))
    return manifest | {"mac": "00" * 32}


def unaudited(scene, read) -> None:
    """The event can't be written and is required, which is found out when the key is there."""
    with KeyManager(
        store=scene.store,
        environment="development",
        audit_log="missing/folder/events",
        audit_required=True,
    ) as manager:
        read(manager)


def spoilt(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    spoilt = frame.copy()
    spoilt[column] = ["x", "y"]
    return spoilt


CRASHES = {
    "derive: no purpose": lambda s: s.manager.derive_key(s.key, ""),
    "derive: no length": lambda s: s.manager.derive_key(s.key, s.purpose, 0),
    "derive: too long": lambda s: s.manager.derive_key(s.key, s.purpose, 9000),
    "derive: of octets": lambda s: s.manager.derive_key(s.material(), ""),
    "derive: of concealed octets": lambda s: s.manager.derive_key(SecretBytes(s.material()), ""),
    "derive: of a bytearray": lambda s: s.manager.derive_key(bytearray(s.material()), ""),
    "derive: of hex": lambda s: s.manager.derive_key(hexadecimal(s), ""),
    "derive: of base64": lambda s: s.manager.derive_key(base64_text(s), ""),
    "derive: of concealed text": lambda s: s.manager.derive_key(SecretText(base64_text(s)), ""),
    "derive: of text that is no key": lambda s: s.manager.derive_key(hexadecimal(s) + "!", "p"),
    "derive: of a short key": lambda s: s.manager.derive_key(s.material()[:15], "p"),
    "derive: of a list": lambda s: s.manager.derive_key([*s.material()], "p"),
    "derive: encoding": lambda s: s.manager.derive_key(s.key, s.purpose, encoding="rot13"),
    "derive: audit": lambda s: unaudited(s, lambda m: m.derive_key(s.key, s.purpose)),
    "derivation": lambda s: derive(s.material(), "", 32),
    "derivation: length": lambda s: derive(s.material(), s.purpose, 8161),
    "fingerprint": lambda s: fingerprint_of(s.material()[:15]),
    "encode": lambda s: encode(s.material(), "rot13"),
    "format_material": lambda s: format_material(s.material(), "rot13"),
    "decode": lambda s: decode(hexadecimal(s) + "-+"),
    "decode: declared": lambda s: decode(hexadecimal(s), "rot13"),
    "decode: contradiction": lambda s: decode("hex:" + hexadecimal(s), "base64"),
    "decode exactly": lambda s: decode_exactly(hexadecimal(s), 24),
    "decode exactly: base64": lambda s: decode_exactly(base64_text(s), 24, "base64"),
    "decode exactly: prefix": lambda s: decode_exactly("base64:" + base64_text(s), 16),
    "get: length": lambda s: s.manager.get_key("k", key_bytes=24),
    "get: length of a version": lambda s: s.manager.get_key("k", 1, key_bytes=16),
    "get: encoding": lambda s: s.manager.get_encryption_key("k", encoding="rot13"),
    "get: audit": lambda s: unaudited(s, lambda m: m.get_encryption_key("k")),
    "get: a wrong declaration": lambda s: stored(
        s, lambda: {"value": base64_text(s), "encoding": "hex"}, lambda m: m.get_key("odd")
    ),
    "get: an unknown declaration": lambda s: stored(
        s, lambda: {"value": hexadecimal(s), "encoding": "rot13"}, lambda m: m.get_key("odd")
    ),
    "get: a declaration that is no text": lambda s: stored(
        s, lambda: {"value": hexadecimal(s), "encoding": 7}, lambda m: m.get_key("odd")
    ),
    "get: no text": lambda s: stored(
        s, lambda: {"value": {"key": hexadecimal(s)}}, lambda m: m.get_key("odd")
    ),
    "get: a structured secret": lambda s: stored(
        s, lambda: {"key": hexadecimal(s)}, lambda m: m.get_key("odd")
    ),
    "get: a short key": lambda s: stored(
        s, lambda: {"value": hexadecimal(s)[:20]}, lambda m: m.key_info("odd")
    ),
    "get: a secret that is no text": lambda s: stored(
        s, lambda: {"value": [hexadecimal(s)]}, lambda m: m.get_secret("odd")
    ),
    "get: a secret, audit": lambda s: unaudited(s, lambda m: m.get_secret("k")),
    "get: a variable": lambda s: from_variable(
        s, hexadecimal, lambda m: m.get_key("k", key_bytes=24)
    ),
    "get: a variable that is no key": lambda s: from_variable(
        s, lambda s: hexadecimal(s) + "!", lambda m: m.get_key("k")
    ),
    "generate: exists": lambda s: s.manager.generate_key("k"),
    "import: exists": lambda s: s.manager.import_key("k", s.material()),
    "import: encoding": lambda s: s.manager.import_key("new", s.material(), "rot13"),
    "import: name": lambda s: s.manager.import_key("vault_token", s.material()),
    "import: path": lambda s: s.manager.import_key("a/../b", hexadecimal(s)),
    "import: short": lambda s: s.manager.import_key("new", s.material()[:15]),
    "import: text": lambda s: s.manager.import_key("new", hexadecimal(s) + "!"),
    "import: audit": lambda s: unaudited(s, lambda m: m.import_key("new", s.material())),
    "import: lost race": lambda s: losing(
        s, SecretExistsError, lambda m: m.import_key("new", s.material())
    ),
    "import: outage": lambda s: losing(
        s, VaultUnavailableError, lambda m: m.import_key("new", hexadecimal(s))
    ),
    "set: over a key": lambda s: s.manager.set_secret("k", hexadecimal(s)),
    "set: name": lambda s: s.manager.set_secret("vault_token", hexadecimal(s)),
    "set: outage": lambda s: losing(
        s, VaultUnavailableError, lambda m: m.set_secret("new", {"key": hexadecimal(s)})
    ),
    "rotate: lost race": lambda s: losing(s, SecretExistsError, lambda m: m.rotate_key("k")),
    "destroy: confirmation": lambda s: s.manager.destroy_key_version("k", 1, "0" * 16),
    "anonymize: column": lambda s: pseudonymized(s, sensitive_columns=["missing"]),
    "anonymize: small domain": lambda s: pseudonymized(s, sensitive_columns=["age", s.column]),
    "anonymize: format": lambda s: pseudonymized(s, formats={s.column: "integer"}),
    "anonymize: again": lambda s: anonymize(
        pseudonymized(s), sensitive_columns=[s.column], key_manager=s.manager
    ),
    "anonymize: under another key": lambda s: anonymize(
        pseudonymized(s), sensitive_columns=["age"], key_manager=with_another_master_key(s)
    ),
    "anonymize: audit": lambda s: unaudited(s, lambda m: pseudonymized(s, key_manager=m)),
    "reidentify: another key": lambda s: reidentify(
        pseudonymized(s), key_manager=with_another_master_key(s)
    ),
    "reidentify: forged manifest": lambda s: reidentify(
        pseudonymized(s), forged(pseudonymized(s)), key_manager=s.manager
    ),
    "reidentify: no pseudonyms": lambda s: reidentify(
        spoilt(pseudonymized(s), s.column), key_manager=s.manager
    ),
    "rekey: no such key": lambda s: rekey(pseudonymized(s), "missing", key_manager=s.manager),
    "rekey: forged manifest": lambda s: rekey(
        pseudonymized(s), "k", forged(pseudonymized(s)), key_manager=s.manager
    ),
    "ff1: numerals": lambda s: FF1(s.material(), 10).encrypt([1, 2, 3, 4, 5, 6, 10]),
    "ff1: domain": lambda s: FF1(s.material(), 10).encrypt(np.zeros((2, 3), int)),
    "ff1: tweak": lambda s: FF1(s.material(), 10).decrypt([1] * 8, "tweak"),
    "ff1: radix": lambda s: FF1(s.material(), 1),
    "ff1: radix that is no number": lambda s: FF1(s.material(), "10"),
    "ff1: key length": lambda s: FF1(s.material()[:31], 10),
    "ff1: key as text": lambda s: FF1(hexadecimal(s), 10),
    "ff1: key as bytearray": lambda s: FF1(bytearray(s.material()), 10),
    "aes: key length": lambda s: BlockCipher(s.material()[:31]),
    "ranked: size": lambda s: IntegerFF1(s.material()).prepare([10], [b""]),
    "ranked: rank": lambda s: (
        IntegerFF1(s.material()).prepare([10**6], [b""]).integers(0, [10**6], decrypt=False)
    ),
    "ranked: key length": lambda s: IntegerFF1(s.material()[:31]),
    "tables: key length": lambda s: SmallDomainCipher(s.material()[:31]),
    "tables: size": lambda s: SmallDomainCipher(s.material()).table(1, b""),
    "samples: key length": lambda s: Sketcher(s.material()),
    "siv: spelling": lambda s: SivToken(s.material(), "base58"),
    "siv: key length": lambda s: SivToken(s.material()[:31]),
    "siv: empty": lambda s: SivToken(s.material()).seal("", b""),
    "siv: token": lambda s: SivToken(s.material()).open("aaaa", b""),
}


@pytest.mark.parametrize("crash", CRASHES.values(), ids=CRASHES.keys())
def test_no_report_of_an_error_shows_the_key(scene, leaks, crash):
    with pytest.raises((SecureMLError, ValueError, TypeError)) as caught:
        crash(scene)
    assert any("secureml" in entry.path.parts for entry in caught.traceback)
    assert not leaks(caught.value)


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_the_library_logs_no_key(scene, leaks, caplog, level):
    with caplog.at_level(level):
        frame = pseudonymized(scene)
        reidentify(frame, key_manager=scene.manager)
        rekey(frame, "k", key_manager=scene.manager)
        scene.manager.derive_key(scene.key, scene.purpose)
        scene.manager.rotate_key("k")
    assert caplog.records
    assert not leaks(caplog.text + repr([vars(record) for record in caplog.records]))


def test_the_audit_log_holds_no_key(scene, leaks, tmp_path):
    file = tmp_path / "events"
    with KeyManager(store=scene.store, environment="development", audit_log=str(file)) as manager:
        reidentify(pseudonymized(scene, key_manager=manager), key_manager=manager)
        manager.get_encryption_key("k", encoding="hex")
    assert "derive_key" in file.read_text()
    assert not leaks(file.read_bytes())


def test_the_table_and_its_manifest_hold_no_key(scene, leaks, tmp_path):
    frame = pseudonymized(scene)
    frame.to_pickle(tmp_path / "frame.pkl")
    frame.to_parquet(tmp_path / "frame.parquet")
    assert not leaks(repr(frame.attrs) + json.dumps(frame.attrs) + frame.to_csv())
    assert not leaks((tmp_path / "frame.pkl").read_bytes())
    assert not leaks((tmp_path / "frame.parquet").read_bytes())


def test_the_information_on_a_key_does_not_hold_it(scene, leaks):
    infos = [scene.key.info, *scene.manager.key_history("k"), *scene.manager.list_keys()]
    assert not leaks(repr([dataclasses.asdict(info) for info in infos]))
