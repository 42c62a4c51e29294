"""``secureml rekey``: moves the pseudonyms in a file to another key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from secureml.cli.base import command
from secureml.cli.options import csv_options, json_option
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
@csv_options
@force_option
@quiet_option
@json_option
def rekey(
    environment: str | None,
    *,
    file: str,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Move the pseudonyms in a file to another key.

    By default this is the newest version of their own. If it is stopped, run it again: it goes on
    where it was. The file is replaced only when all is done.

    Examples:
      secureml rekey hidden.csv
      secureml rekey hidden.parquet --to-key customers_2027 -o moved.parquet
    """
    from secureml.cli.tables.summary import print_summary
    from secureml.files import rekey_file
    from secureml.files.manifests import work_folder_of

    target = options["output"] or file
    with running(environment, [file], target, quiet=quiet) as run:
        place = Path(target).resolve()
        run.kept = work_folder_of(place) if place.name else None
        written = rekey_file(file, on_progress=run.on_progress, key_manager=run.manager, **options)
    print_summary(written, run, as_json=as_json, quiet=quiet)
