"""How the commands of ``secureml keys`` show what is known of keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from secureml.cli.output import is_terminal, show, show_json, show_table
from secureml.key_management.rotation_period import period_text
from secureml.keys import KeyInfo

__all__ = [
    "WRITTEN",
    "facts_of",
    "print_facts",
    "print_keys",
]

WRITTEN = "Vault may have done it; see `secureml keys history`"
"""What may have been changed when Ctrl-C stops a command that writes to Vault."""


def facts_of(info: KeyInfo) -> dict[str, object]:
    """Return what is known of a key as values that JSON has."""
    period = info.rotation_period
    facts: dict[str, object] = dataclasses.asdict(info)
    return facts | {
        "created": _iso(info.created),
        "rotation_period": None if period is None else period_text(period),
        "due": _iso(info.due),
        "deletion_time": _iso(info.deletion_time),
    }


def print_facts(info: KeyInfo, *, as_json: bool = False) -> None:
    """Print what is known of one version, a line for each fact."""
    facts = facts_of(info)
    if as_json:
        show_json(facts)
        return
    for name, value in facts.items():
        if value is not None and value is not False:
            show(f"{name.replace('_', ' ') + ':':<16} {value}")


def print_keys(infos: Sequence[KeyInfo], *, as_json: bool) -> None:
    """Print several keys or versions: as a table on a terminal, else a line for each."""
    if as_json:
        show_json([facts_of(info) for info in infos])
    elif infos and is_terminal():
        _print_table(infos)
    else:
        for info in infos:
            show("  ".join(_line(info)))


def _line(info: KeyInfo) -> list[str]:
    known = [info.name, *([f"version {info.version}"] if info.version else []), info.state]
    known += [f"fingerprint {info.fingerprint}"] if info.fingerprint else []
    known += [info.path]
    known += [f"due {_iso(info.due)}"] if info.due else []
    return known + ([f"deleted at {_iso(info.deletion_time)}"] if info.deletion_time else [])


def _print_table(infos: Sequence[KeyInfo]) -> None:
    columns: dict[str, list[object]] = {
        "key": [info.name for info in infos],
        "version": [info.version for info in infos],
        "state": [info.state for info in infos],
        "fingerprint": [info.fingerprint for info in infos],
        "created": [_short(info.created) for info in infos],
        "due": [_short(info.due) for info in infos],
        "purpose": [info.purpose for info in infos],
        "deleted at": [_short(info.deletion_time) for info in infos],
    }
    # An empty column would take its width from the others.
    names = [name for name, values in columns.items() if any(values)]
    rows = [*zip(*(columns[name] for name in names), strict=True)]
    show_table(names, rows, whole=("version", "state", "fingerprint"))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _short(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else None
