"""Checks whether tables can be recovered: their manifests, and the keys that these need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from secureml.cli.checks.result import Check
from secureml.errors import SecretNotFoundError, SecureMLError
from secureml.settings import Settings

if TYPE_CHECKING:
    from secureml.files import KeyUsage
    from secureml.key_management import KeyManager

__all__ = ["table_checks"]

_IN_USE = ("enabled", "decrypt-only", "wrapped")
_REMEDIES = {
    "disabled": "secureml keys enable",
    "missing": "restore the key with secureml keys restore",
    "deleted": "undelete it in Vault",
    "destroyed": "restore the key with secureml keys restore",
}


def table_checks(settings: Settings, files: Sequence[str], vault_problem: str) -> Iterator[Check]:
    """Check a manifest after the other, with the keys that it needs.

    Args:
        settings: where keys are.
        files: tables, and manifests alone.
        vault_problem: why keys can't be read from Vault; empty if they can.
    """
    if not files:
        return
    from secureml.files import key_usage  # which loads pandas
    from secureml.key_management import KeyManager

    with KeyManager(settings=settings) as manager:
        for file in files:
            try:
                need = key_usage(file)
            except SecureMLError as error:
                wrong = error.with_traceback(None)
            else:
                yield from _checks_of(manager, file, need, vault_problem)
                continue
            yield Check.problem(file, wrong, "name a table with its manifest, or a manifest")


def _checks_of(
    manager: KeyManager, file: str, need: KeyUsage, vault_problem: str
) -> Iterator[Check]:
    from secureml.cli.keys.usage import states_of, usage_rows

    if vault_problem:
        yield Check.unknown(file, vault_problem)
        return
    told: list[str] = []
    states = states_of(manager, [need], told.append)
    for row in usage_rows(manager, need, states, told.append):
        version, state = row["version"], str(row["state"])
        what = f"needs the key {need.key!r}" + (f" version {version}" if version else "")
        if state == "unknown":
            why = told[0] if told else "which has no versions"
            yield Check.unknown(file, f"{what}: {why}")
        elif state in _IN_USE:
            yield Check.ok(file, f"{what}, which is {state}")
        else:
            gone = SecretNotFoundError(f"{what}, which is {state}")
            remedy = _REMEDIES.get(state, "look at it with secureml keys history")
            yield Check.problem(file, gone, remedy)
