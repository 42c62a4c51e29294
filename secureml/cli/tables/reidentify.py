"""``secureml reidentify``: recovers the values of files."""

from __future__ import annotations

from typing import Any

import click

from secureml.cli.base import command
from secureml.cli.options import delimiter_option, json_option
from secureml.cli.tables.running import (
    force_option,
    manifest_option,
    output_option,
    quiet_option,
    running,
    table_check_option,
)
from secureml.cli.tables.summary import print_summary

__all__ = ["reidentify"]


@command()
@click.argument("file", metavar="FILE", type=click.Path())
@output_option
@manifest_option
@table_check_option
@delimiter_option
@force_option
@quiet_option
@json_option
def reidentify(
    environment: str | None,
    *,
    file: str,
    output: str,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Recover the values that anonymize replaced in a file.

    Only you can read the result.

    Examples:
      secureml reidentify hidden.csv -o recovered.csv
      secureml reidentify part.csv -o recovered.csv --manifest hidden.csv.manifest.json
    """
    from secureml.files import reidentify_file

    with running(environment, file, output, quiet=quiet) as run:
        written = reidentify_file(
            file, output, on_progress=run.on_progress, key_manager=run.manager, **options
        )
    print_summary(written, run, as_json=as_json, quiet=quiet)
