"""``secureml reidentify``: recovers the values of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from secureml.cli.base import command
from secureml.cli.options import csv_options, json_option
from secureml.cli.tables.databases import database_job, database_options
from secureml.cli.tables.running import (
    STANDARD,
    files_argument,
    force_option,
    manifest_option,
    output_option,
    quiet_option,
    resume_option,
    running,
    several_files,
    table_check_option,
    workers_option,
)

__all__ = ["reidentify"]


@command()
@files_argument
@output_option
@manifest_option
@table_check_option
@database_options
@csv_options
@force_option
@resume_option
@workers_option
@quiet_option
@json_option
def reidentify(
    environment: str | None,
    *,
    files: Sequence[str],
    output: str,
    manifest: str | None,
    tables: Sequence[str],
    password_secret: Sequence[str],
    force: bool,
    resume: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Recover the values that anonymize replaced in files.

    Only you can read the result, which is OUT for one file, and in the folder OUT for several.

    Examples:
      secureml reidentify hidden.csv -o recovered.csv
      secureml reidentify part.csv -o recovered.csv --manifest hidden.csv.manifest.json
      secureml reidentify hidden/ -o recovered/
      secureml reidentify postgresql://lab/research --table customers_hidden \\
          -o postgresql://crm/live --table customers_again
    """
    from secureml.cli.tables.summary import print_summary
    from secureml.files import reidentify_file, reidentify_files

    job = database_job(files, output, tables, password_secret)
    if job is not None:
        from secureml.engines.postgres import reidentify_tables

        options["manifest"] = manifest
        job.write(
            reidentify_tables, environment, options, force=force, quiet=quiet, as_json=as_json
        )
        return
    several = several_files(files, output)
    if several and manifest is not None:
        raise click.UsageError("--manifest is of one file; each of several has its own")
    if resume and not several:
        raise click.UsageError("--resume is for several files")
    with running(environment, files, output, several=several, quiet=quiet) as run:
        options |= {"force": force, "key_manager": run.manager, "on_progress": run.on_progress}
        written = (
            reidentify_files(files, output, resume=resume, on_file=run.on_file, **options)
            if several
            else reidentify_file(files[0], output, manifest=manifest, **options)
        )
    print_summary(written, run, as_json=as_json, quiet=quiet, err=output == STANDARD)
