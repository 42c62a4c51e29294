"""``secureml rekey``: moves the pseudonyms in a file to another key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from secureml.cli.base import command
from secureml.cli.options import csv_options, json_option
from secureml.cli.tables.databases import database_job, database_options
from secureml.cli.tables.running import (
    force_option,
    manifest_option,
    quiet_option,
    running,
    table_check_option,
)

__all__ = ["rekey"]


@command()
@click.argument("file", metavar="FILE", type=click.Path())
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(),
    help="Where the result is written; by default in the file's place.",
)
@manifest_option
@click.option(
    "--to-key", metavar="NAME", help="The new key; by default the newest version of the same."
)
@click.option(
    "--drop-missing", is_flag=True, help="Forget columns of the manifest that the file lacks."
)
@table_check_option
@database_options
@csv_options
@force_option
@quiet_option
@json_option
def rekey(
    environment: str | None,
    *,
    file: str,
    output: str | None,
    tables: Sequence[str],
    password_secret: Sequence[str],
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Move the pseudonyms in a file to another key.

    By default this is the newest version of their own. If it is stopped, run it again: it goes on
    where it was. The file is replaced only when all is done. Tables of a database are written
    anew, beside those that are there.

    Examples:
      secureml rekey hidden.csv
      secureml rekey hidden.parquet --to-key customers_2027 -o moved.parquet
      secureml rekey postgresql://lab/research --table customers_hidden --table customers_moved
    """
    from secureml.cli.tables.summary import print_summary
    from secureml.files import rekey_file
    from secureml.files.manifests import work_folder_of

    job = database_job([file], output, tables, password_secret)
    if job is not None:
        from secureml.engines.postgres import rekey_tables

        job.write(rekey_tables, environment, options, force=force, quiet=quiet, as_json=as_json)
        return
    target = output or file
    with running(environment, [file], target, quiet=quiet) as run:
        place = Path(target).resolve()
        run.kept = work_folder_of(place) if place.name else None
        options |= {"force": force, "key_manager": run.manager, "on_progress": run.on_progress}
        written = rekey_file(file, output, **options)
    print_summary(written, run, as_json=as_json, quiet=quiet)
