"""What ``secureml doctor`` checks, each by a small function that returns its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from secureml.cli.checks.keys import key_checks
from secureml.cli.checks.project import project_checks
from secureml.cli.checks.result import Check, worst
from secureml.cli.checks.tables import table_checks
from secureml.cli.checks.vault import vault_checks

__all__ = ["Check", "all_checks", "worst"]


def all_checks(
    environment: str | None, files: Sequence[str], environ: Mapping[str, str], now: datetime
) -> Iterator[Check]:
    """Check everything, in the order in which one thing depends on another.

    Args:
        environment: the environment that was asked for, or None.
        files: tables and manifests whose keys are looked for.
        environ: the environment variables.
        now: the time.
    """
    settings = yield from project_checks(environment, environ)
    if settings is None:
        for name in ("Vault", "key", *files):
            yield Check.unknown(name, "the settings can't be used")
        return
    problem = yield from vault_checks(settings, now)
    yield from key_checks(settings, now, problem)
    yield from table_checks(settings, files, problem)
