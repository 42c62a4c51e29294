"""Warnings of one kind have one text, so that a process that runs for years remembers few."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest

from secureml.errors import DevelopmentKeyWarning, FallbackWarning, VaultUnavailableError
from secureml.key_management import KeyManager
from secureml.stores import Finding, MemoryStore, Outcome


class Failing(MemoryStore):
    """A store that is unavailable, with another message each time."""

    def read(
        self, name: str, version: int | None = None, *, even_disabled: bool = False
    ) -> Outcome:
        error = VaultUnavailableError(f"down while {name!r} was asked for")
        return Outcome(finding=Finding.UNAVAILABLE, where="here", error=error)


def test_a_thousand_names_in_an_outage_are_one_entry_in_the_registry_of_warnings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECUREML_K", "ab" * 32)
    manager = KeyManager(store=Failing(), environment="development", use_default_fallback=True)
    registry = globals().setdefault("__warningregistry__", {})
    before = len(registry)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for number in range(1000):
            manager.get_key(f"name-{number}")
    assert [warning.category for warning in shown] == [FallbackWarning, DevelopmentKeyWarning]
    # Python's own entry, the version, may be the third.
    assert len(registry) - before <= 3


def test_the_log_has_the_details_of_each_time(caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONE", "TWO"):
        monkeypatch.setenv(f"SECUREML_{name}", "ab" * 32)
    manager = KeyManager(store=Failing(), environment="staging")
    with caplog.at_level(logging.WARNING, logger="secureml.warnings"):
        with pytest.warns(FallbackWarning) as first:
            manager.get_key("one")
        with pytest.warns(FallbackWarning) as second:
            manager.get_key("two")
    seen = [*first, *second]
    details = [
        f"down while {name!r} was asked for; {name!r} comes from the environment variable "
        f"SECUREML_{name.upper()}"
        for name in ("one", "two")
    ]
    assert caplog.messages == details
    assert [warning.message.details for warning in seen] == details  # type: ignore[union-attr]
    assert len({str(warning.message) for warning in seen}) == 1
