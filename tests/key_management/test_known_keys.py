"""What was seen of keys: kept in a file, and only believed of the Vault that it was seen in."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from secureml.key_management import KeyManager
from secureml.key_management.known_keys import KnownKeys, KnownVersion
from secureml.key_management.wrapped import Wrapped
from secureml.keys import Envelope, KeyInfo, SecretBytes, fingerprint_of
from secureml.settings.schema import Settings
from secureml.stores import MemoryStore, Record

WHEN = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATH = "secret/secureml/k"


def known_keys(tmp_path: Path, keeps_file: bool = True, **more: Any) -> KnownKeys:
    given = {"vault_url": "https://a.example,https://b.example", "known_keys": tmp_path / "known"}
    return KnownKeys(Settings(**(given | more)), keeps_file=keeps_file)


def info(version: int | None, fingerprint: str | None, created: datetime | None = WHEN) -> KeyInfo:
    return KeyInfo(
        name="k",
        version=version,
        fingerprint=fingerprint,
        source="vault",
        environment=None,
        path=PATH,
        created=created,
    )


@pytest.mark.parametrize("created", [WHEN, None])
def test_a_process_knows_what_another_one_saw(tmp_path: Path, created: datetime | None) -> None:
    first = known_keys(tmp_path)
    first.of(PATH)
    first.saw(info(1, "aa", created))
    first.saw(info(2, "bb", created))
    seen = {1: KnownVersion("aa", created), 2: KnownVersion("bb", created)}
    assert first.of(PATH) == seen
    assert known_keys(tmp_path).of(PATH) == seen
    assert known_keys(tmp_path).of("secret/secureml/other") == {}


def test_what_was_seen_at_one_address_holds_at_another_of_the_same_cluster(tmp_path: Path) -> None:
    known_keys(tmp_path).saw(info(1, "aa"))
    assert known_keys(tmp_path, vault_url="https://b.example").of(PATH)
    assert not known_keys(tmp_path, vault_url="https://c.example").of(PATH)
    assert not known_keys(tmp_path, vault_namespace="team").of(PATH)


def test_a_version_is_written_once_unless_it_changes(tmp_path: Path) -> None:
    keys = known_keys(tmp_path)
    for fingerprint in ("aa", "aa", "bb"):
        keys.saw(info(1, fingerprint))
    assert len((tmp_path / "known").read_text().splitlines()) == 2
    assert known_keys(tmp_path).of(PATH) == {1: KnownVersion("bb", WHEN)}


@pytest.mark.parametrize(("version", "fingerprint"), [(None, "aa"), (1, None)])
def test_a_version_that_nothing_identifies_is_not_remembered(
    tmp_path: Path, version: int | None, fingerprint: str | None
) -> None:
    keys = known_keys(tmp_path)
    keys.saw(info(version, fingerprint))
    assert not keys.of(PATH)
    assert not (tmp_path / "known").exists()


def test_a_key_that_was_forgotten_stays_so_in_the_next_process(tmp_path: Path) -> None:
    keys = known_keys(tmp_path)
    keys.saw(info(1, "aa"))
    keys.forget(PATH)
    assert not keys.of(PATH)
    assert not known_keys(tmp_path).of(PATH)
    lines = (tmp_path / "known").read_text()
    keys.forget(PATH)
    assert (tmp_path / "known").read_text() == lines
    keys.saw(info(1, "bb"))
    assert known_keys(tmp_path).of(PATH) == {1: KnownVersion("bb", WHEN)}


def test_a_store_that_is_no_vault_has_no_file(tmp_path: Path) -> None:
    keys = known_keys(tmp_path, keeps_file=False)
    keys.saw(info(1, "aa"))
    assert keys.of(PATH)
    assert not (tmp_path / "known").exists()


def test_a_manager_with_a_store_of_its_own_writes_no_file() -> None:
    with KeyManager(store=MemoryStore(), environment="development") as manager:
        manager.generate_key("k")
        manager.get_key("k")
    assert not Path(os.environ["XDG_STATE_HOME"]).exists()


def test_lines_that_are_damaged_leave_the_others(tmp_path: Path) -> None:
    keys = known_keys(tmp_path)
    keys.saw(info(1, "aa"))
    file = tmp_path / "known"
    line = file.read_text()
    entry = json.loads(line)
    damaged = [entry | {name: []} for name in ("vault", "path", "version", "created")]
    damaged += [{name: entry[name] for name in entry if name != left} for left in entry]
    texts = ["", "5", line[:-9], *map(json.dumps, damaged)]
    file.write_text("\n".join([*texts, line.strip(), *texts]))
    assert known_keys(tmp_path).of(PATH) == {1: KnownVersion("aa", WHEN)}


@pytest.mark.parametrize(
    ("there", "lost"),
    [
        ([(1, "aa"), (2, "bb"), (3, "cc")], ()),
        ([(1, "aa"), (2, "bb"), (3, "cc"), (4, "dd")], ()),
        ([(1, "aa"), (2, "bb")], (3,)),
        ([(1, "aa"), (2, "xx"), (3, "cc")], (2,)),
        ([(1, "xx"), (2, "bb")], (1, 3)),
        ([(1, "aa"), (2, None), (3, "cc")], ()),
        ([(3, "cc")], ()),
        ([], (1, 2, 3)),
    ],
)
def test_versions_that_are_gone_or_another_key_are_lost(
    tmp_path: Path, there: list[tuple[int, str | None]], lost: tuple[int, ...]
) -> None:
    keys = known_keys(tmp_path)
    for version, fingerprint in ((3, "cc"), (1, "aa"), (2, "bb")):
        keys.saw(info(version, fingerprint))
    history = [info(version, fingerprint) for version, fingerprint in there]
    assert keys.lost(history, PATH) == lost


@pytest.mark.parametrize(
    ("fields", "fingerprint"),
    [
        (
            Wrapped(
                envelope=Envelope(wrapped="vault:v1:AA==", transit_key="transit/k"),
                fingerprint="aa",
                key_bytes=32,
            ).fields(),
            "aa",
        ),
        ({"value": "00" * 20, "encoding": "hex"}, fingerprint_of(SecretBytes(bytes(20)))),
        ({"value": "ab" * 32}, fingerprint_of(SecretBytes(bytes.fromhex("ab" * 32)))),
        ({"value": "00" * 20}, None),
        ({"user": "etl", "password": "made up"}, None),
    ],
    ids=["wrapped", "declared", "of a key's length", "of another length", "password"],
)
def test_what_may_be_a_password_is_not_remembered(
    tmp_path: Path, fields: dict[str, object], fingerprint: str | None
) -> None:
    keys = known_keys(tmp_path)
    record = Record(fields=fields, source="vault", path=PATH, version=1, created=WHEN)
    assert keys.checked(MemoryStore(), "k", record, is_newest=True) == record
    seen = {} if fingerprint is None else {1: KnownVersion(fingerprint, WHEN)}
    assert keys.of(PATH) == seen
