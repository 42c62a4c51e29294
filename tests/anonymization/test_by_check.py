"""Tables whose key has another number by now, as after a restore: found by its check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from helpers.vault import Vault
from secureml import anonymize, merge_manifests, reidentify, rekey
from secureml.errors import KeyDisabledError, SecretDeletedError, WrongKeyError
from secureml.files import anonymize_file, reidentify_file, rekey_file
from secureml.key_management import KeyManager

PEOPLE = pd.DataFrame({"ssn": [f"219-09-{n:04d}" for n in range(50)], "n": range(50)})
PATH = "secureml/k"


@pytest.fixture
def open_manager(vault: Vault, tmp_path: Path) -> Iterator[Callable[..., KeyManager]]:
    """Opens managers of machines that have seen nothing yet."""
    opened: list[KeyManager] = []

    def made(**more: Any) -> KeyManager:
        opened.append(
            KeyManager(
                vault.url,
                vault.token,
                vault_namespace=vault.namespace,
                cache_ttl=0,
                known_keys=str(tmp_path / f"known{len(opened)}"),
                **more,
            )
        )
        return opened[-1]

    yield made
    for manager in opened:
        manager.close()


def hide(manager: KeyManager, table: pd.DataFrame = PEOPLE, **more: Any) -> pd.DataFrame:
    hidden: pd.DataFrame = anonymize(
        table, sensitive_columns=["ssn"], master_key_name="k", key_manager=manager, **more
    )
    return hidden


def write_versions(manager: KeyManager, contents: list[dict[str, Any]]) -> None:
    """Make the key anew with these contents, as an operator who copies KV by hand does."""
    kv = manager.vault_client.secrets.kv.v2
    kv.delete_metadata_and_all_versions(PATH)
    for fields in contents:
        kv.create_or_update_secret(PATH, fields)


def content(manager: KeyManager, version: int) -> dict[str, Any]:
    answer = manager.vault_client.secrets.kv.v2.read_secret_version(
        PATH, version=version, raise_on_deleted_version=True
    )
    # Without the mark of custom metadata, which is not copied.
    return {name: value for name, value in answer["data"]["data"].items() if name != "states"}


@pytest.fixture
def renumbered(open_manager: Callable[..., KeyManager]) -> tuple[KeyManager, pd.DataFrame]:
    """A table made with version 3, which is number 1 by now; number 3 is another key."""
    manager = open_manager()
    manager.generate_key("k")
    manager.rotate_key("k")
    manager.rotate_key("k")
    hidden = hide(manager)
    first, second, third = (content(manager, version) for version in (1, 2, 3))
    write_versions(manager, [third, second, first])
    return open_manager(), hidden


def test_a_table_is_recovered_by_the_check_of_its_key(
    renumbered: tuple[KeyManager, pd.DataFrame],
) -> None:
    manager, hidden = renumbered
    assert hidden.attrs["secureml"]["key"]["version"] == 3
    pd.testing.assert_frame_equal(reidentify(hidden, key_manager=manager), PEOPLE)


def test_a_table_is_rekeyed_by_the_check_of_its_key_to_another_version(
    renumbered: tuple[KeyManager, pd.DataFrame],
) -> None:
    manager, hidden = renumbered
    moved = rekey(hidden, key_manager=manager)
    assert moved.attrs["secureml"]["key"]["version"] == 3
    assert not moved["ssn"].equals(hidden["ssn"])
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), PEOPLE)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_is_recovered_by_the_check_of_its_key(
    open_manager: Callable[..., KeyManager], tmp_path: Path, kind: str
) -> None:
    before = open_manager()
    before.generate_key("k")
    before.rotate_key("k")
    plain, file, shown = (tmp_path / f"{name}.{kind}" for name in ("plain", "hidden", "shown"))
    getattr(PEOPLE, f"to_{kind}")(plain, index=False)
    anonymize_file(plain, file, sensitive_columns=["ssn"], master_key_name="k", key_manager=before)
    write_versions(before, [content(before, 2), content(before, 1)])
    manager = open_manager()
    hidden = file.read_bytes()
    reidentify_file(file, shown, key_manager=manager)
    assert getattr(pd, f"read_{kind}")(shown).equals(PEOPLE)
    written = rekey_file(file, key_manager=manager)
    assert written.manifest["key"]["version"] == 2
    assert file.read_bytes() != hidden
    reidentify_file(file, shown, force=True, key_manager=manager)
    assert getattr(pd, f"read_{kind}")(shown).equals(PEOPLE)
    write_versions(before, [{"value": "ab" * 32}])
    lost = open_manager()
    with pytest.raises(WrongKeyError, match=rf"hidden\.{kind}: .*version 2, and .* has its check"):
        reidentify_file(file, shown, force=True, key_manager=lost)
    with pytest.raises(WrongKeyError, match=rf"hidden\.{kind}: .*version 2, and .* has its check"):
        rekey_file(file, key_manager=lost)


def test_rows_of_several_versions_are_each_found(open_manager: Callable[..., KeyManager]) -> None:
    before = open_manager()
    before.generate_key("k")
    parts = [hide(before, key_versions=True)]
    before.rotate_key("k")
    parts += [hide(before, key_versions=True)]
    merged = merge_manifests([part.attrs["secureml"] for part in parts], key_manager=before)
    write_versions(before, [content(before, 2), content(before, 1)])
    manager = open_manager()
    both = pd.concat(parts, ignore_index=True)
    back = reidentify(both, merged, key_manager=manager)
    assert back["ssn"].tolist() == 2 * PEOPLE["ssn"].tolist()
    moved = rekey(both, manifest=merged, key_manager=manager)
    assert reidentify(moved, key_manager=manager)["ssn"].tolist() == 2 * PEOPLE["ssn"].tolist()


def test_a_key_that_no_version_is_any_more_is_named_with_its_check(
    open_manager: Callable[..., KeyManager],
) -> None:
    before = open_manager()
    before.generate_key("k")
    before.rotate_key("k")
    hidden = hide(before)
    first = content(before, 1)
    (check,) = [one["check"] for one in hidden.attrs["secureml"]["versions"]]
    for contents in ([first], [first, {"value": "ab" * 32}]):
        write_versions(before, contents)
        for attempt in (reidentify, rekey):
            with pytest.raises(WrongKeyError, match=f"version 2, and .* check '{check}'"):
                attempt(hidden, key_manager=open_manager())


def test_a_disabled_or_destroyed_version_is_not_looked_for_under_other_numbers(
    open_manager: Callable[..., KeyManager],
) -> None:
    manager = open_manager()
    first = manager.generate_key("k")
    hidden = hide(manager)
    manager.rotate_key("k")
    manager.disable_key_version("k", 1)
    with pytest.raises(KeyDisabledError):
        reidentify(hidden, key_manager=manager)
    manager.destroy_key_version("k", 1, str(first.fingerprint))
    with pytest.raises(SecretDeletedError):
        reidentify(hidden, key_manager=manager)


@pytest.fixture
def wrapping(vault: Vault) -> dict[str, str]:
    vault.client().sys.enable_secrets_engine("transit")
    return {"key_backend": "transit"}


def test_a_wrapped_key_is_found_among_those_that_a_later_version_carries(
    open_manager: Callable[..., KeyManager], wrapping: dict[str, str]
) -> None:
    before = open_manager(**wrapping)
    before.generate_key("k")
    hidden = hide(before)
    before.rotate_key("k", new_material=True)
    write_versions(before, [content(before, 2)])
    before.vault_client.adapter.post(
        "/v1/transit/keys/secureml.k/config", json={"min_decryption_version": 2}
    )
    manager = open_manager(**wrapping)
    pd.testing.assert_frame_equal(reidentify(hidden, key_manager=manager), PEOPLE)
