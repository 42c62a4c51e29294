"""``secureml scan``: proposes rules for the columns of a file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml.atomic_files import NewFile, write_together
from secureml.cli.base import command, note
from secureml.cli.options import csv_options, json_option
from secureml.cli.output import show, show_json
from secureml.cli.tables.databases import DatabaseJob, database_job, database_options

if TYPE_CHECKING:
    import pyarrow as pa

    from secureml.scanning import Proposal

__all__ = ["proposals_for", "scan", "with_distinct_names"]

_ROWS_OF_A_CHUNK = 2_000


@command()
@click.argument("file", metavar="FILE", type=click.Path())
@click.option(
    "--write", is_flag=True, help="Add the rules to the settings file, under [default.columns]."
)
@json_option
@database_options
@csv_options
def scan(
    environment: str | None,
    *,
    file: str,
    tables: Sequence[str],
    password_secret: Sequence[str],
    write: bool,
    as_json: bool,
    **csv: Any,
) -> None:
    """Propose rules for the columns of a file.

    They are for columns of FILE, CSV or Parquet, that seem to hold personal data. A proposal comes
    with what speaks for it. What is not proposed may be personal data none the less: names and
    contents are all that a scan sees.

    Examples:
      secureml scan customers.csv
      secureml scan customers.parquet --json
      secureml scan customers.csv --write
      secureml scan postgresql://crm/live --table customers
    """
    from secureml.configuration.process import configure

    settings = configure(environment=environment)
    job = database_job([file], None, tables, password_secret, writes=False)
    proposals = proposals_for(file, csv) if job is None else _proposals_for_table(job)
    ruled = {one.column for one in proposals if settings.columns.of(one.column) is not None}
    new = [one for one in proposals if one.column not in ruled]
    if as_json:
        entries = [
            {**dataclasses.asdict(one), "rule": one.rule.document(), "ruled": one.column in ruled}
            for one in proposals
        ]
        show_json(entries)
    else:
        _print(proposals, ruled)
    if write:
        _write({one.column: one.rule.document() for one in with_distinct_names(new)})


def proposals_for(file: str, csv: Mapping[str, Any]) -> tuple[Proposal, ...]:
    """Scan some rows of a file, evenly spread.

    Args:
        file: CSV or Parquet.
        csv: what the options for CSV files say.
    """
    from secureml.scanning import scan as scan_table

    return scan_table(_sample(file, csv))


def with_distinct_names(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Return the proposals with one rule for columns whose names differ only in case."""
    names = {one.column.casefold(): one for one in reversed(proposals)}
    return [one for one in proposals if one in names.values()]


def _sample(file: str, csv: Mapping[str, Any]) -> pa.Table:
    """Read a file in chunks, and keep some rows of each, evenly spread."""
    import numpy as np
    import pyarrow as pa

    from secureml.files.csv import Told
    from secureml.files.kinds import open_table
    from secureml.frames.arrow import ArrowTable

    table = open_table(file, Told(**csv))
    kept = []
    for chunk in table.chunks():
        rows = np.arange(0, len(chunk), max(1, len(chunk) // _ROWS_OF_A_CHUNK))
        kept.append(ArrowTable(chunk.table).take(rows).table)
    return pa.concat_tables(kept)


def _proposals_for_table(job: DatabaseJob) -> tuple[Proposal, ...]:
    from secureml.engines.postgres import sample_of_table
    from secureml.key_management import get_default_key_manager
    from secureml.scanning import scan as proposals_for_sample

    return proposals_for_sample(sample_of_table(job.source(get_default_key_manager()), job.table))


def _print(proposals: tuple[Proposal, ...], ruled: set[str]) -> None:
    if not proposals:
        show("No column seems to hold personal data.")
    for proposal in proposals:
        rule = ", ".join(f"{name} = {value!r}" for name, value in proposal.rule.document().items())
        show(f"{proposal.column}: {proposal.kind}")
        show(f"    {proposal.evidence}")
        has_one = " (the settings have a rule for it)" if proposal.column in ruled else ""
        show(f"    {rule}{has_one}")


def _write(rules: Mapping[str, Mapping[str, Any]]) -> None:
    from secureml.cli.settings.settings_file import with_rules
    from secureml.settings import find_files

    if not rules:
        note("there is no rule to add")
        return
    path = find_files(os.environ).main or Path.cwd() / "settings.toml"
    write_together([NewFile(path, with_rules(path, "default", rules))])
    listing = ", ".join(rules)
    note(f"{path} has new rules for: {listing}; read them before you rely on them")
