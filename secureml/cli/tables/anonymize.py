"""``secureml anonymize``: replaces values in files by pseudonyms."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.base import command
from secureml.cli.options import csv_options, json_option, key_name_option
from secureml.cli.output import show, show_json
from secureml.cli.tables.column_options import (
    by_column,
    column_options,
    columns_option,
    options_of,
    strategies,
)
from secureml.cli.tables.databases import database_job, database_options
from secureml.cli.tables.running import (
    STANDARD,
    files_argument,
    force_option,
    quiet_option,
    resume_option,
    running,
    several_files,
    workers_option,
)
from secureml.registry import VENDOR_NAME

if TYPE_CHECKING:
    from secureml.anonymization.previewing import Preview

__all__ = ["anonymize"]


@command()
@files_argument
@click.option(
    "-o", "--output", metavar="OUT", type=click.Path(), help="Where the result is written."
)
@click.option(
    "--preview",
    type=click.IntRange(0),
    is_flag=False,
    flag_value=5,
    metavar="N",
    help="Write nothing: show N rows (5) before and after, and figures for each column.",
)
@columns_option
@click.option(
    "--strategy",
    multiple=True,
    metavar="[COLUMN=]NAME",
    help="How values are replaced, in all columns or in one; can be repeated.",
)
@by_column("format", "What the values of a column are")
@by_column("domain", "The domain of a column, shared by columns that are joined")
@click.option(
    "--domain-prefix",
    metavar="TEXT",
    help="What sets all domains apart from those of others, such as the name of a recipient.",
)
@by_column("tweak", "Another column that makes equal values of a column unlinkable")
@column_options
@click.option(
    "--manifest",
    metavar="M",
    type=click.Path(),
    help="That of columns replaced before; by default the one in the file or beside it.",
)
@click.option(
    "--manifest-output",
    metavar="M",
    type=click.Path(),
    help="Where the manifest is written, if standard output can't hold it.",
)
@click.option("--small-domain", metavar="POLICY", help="error, token, null or permute.")
@click.option("--on-invalid", metavar="POLICY", help="error, token or null.")
@click.option(
    "--rejects",
    metavar="PATH",
    type=click.Path(),
    help="Where rows that these two would refuse are written, in clear, in place of an error.",
)
@click.option("--normalize", metavar="FORM", help="NFC.")
@click.option("--on-ordered", metavar="POLICY", help="error or keep, for ordered categories.")
@click.option("--profile", metavar="NAME", help="A set of rules in the settings.")
@key_name_option
@click.option(
    "--key-versions", is_flag=True, help="Add a column with the version of the key for each."
)
@database_options
@csv_options
@force_option
@resume_option
@workers_option
@quiet_option
@json_option
def anonymize(
    environment: str | None,
    *,
    files: Sequence[str],
    output: str | None,
    preview: int | None,
    columns: list[str] | None,
    strategy: Sequence[str],
    key_name: str | None,
    tables: Sequence[str],
    password_secret: Sequence[str],
    manifest_output: str | None,
    rejects: str | None,
    force: bool,
    resume: bool,
    workers: int | None,
    quiet: bool,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Replace values in files by pseudonyms.

    FILE is a CSV or Parquet file, a folder of them, a glob or a URL. The result of one file is OUT;
    those of several go into the folder OUT. The manifest, which recovery needs, is in a Parquet
    file itself, and beside a CSV file as OUT.manifest.json. FILE and OUT may be databases of
    PostgreSQL, of which --table names tables; the manifest is the comment of the new one.

    Examples:
      secureml anonymize customers.csv -o hidden.csv --columns ssn,email
      secureml anonymize customers.parquet -o hidden.parquet --columns ssn --format ssn=ssn
      secureml anonymize customers.csv -o hidden.csv --columns card \\
          --format card=credit_card --option card.keep_first=4 --option card.keep_last=4
      secureml anonymize customers.csv --columns ssn,email --preview
      secureml anonymize 'customers/**/*.csv' -o hidden/ --columns ssn,email
      secureml anonymize s3://lake/customers/ -o s3://lake/hidden/ --profile research
      secureml anonymize postgresql://crm/live --table customers --columns ssn,email \\
          -o postgresql://lab/research --table customers_hidden
      cat customers.csv | secureml anonymize - -o - --columns ssn --manifest-output m.json
    """
    from secureml.cli.tables.summary import print_summary
    from secureml.files import anonymize_file, anonymize_files, preview_file

    if (output is None) == (preview is None):
        raise click.UsageError("give --output, or --preview")
    of_vendor = any(
        VENDOR_NAME.fullmatch(one.rpartition("=")[2])
        for one in (*strategy, *arguments["formats"].values())
    )
    arguments |= {
        "sensitive_columns": columns,
        "strategy": strategies(strategy, columns),
        "options": options_of(arguments["options"], of_vendor=of_vendor),
        "master_key_name": key_name,
    }
    job = database_job(files, output, tables, password_secret, writes=preview is None)
    if job is not None and preview is not None:
        shown = job.preview(environment, preview, arguments, quiet=quiet)
        _print_preview(shown, as_json=as_json)
        return
    if job is not None:
        from secureml.engines.postgres import anonymize_tables

        job.write(
            anonymize_tables, environment, arguments, force=force, quiet=quiet, as_json=as_json
        )
        return
    several = several_files(files, output)
    if several and preview is not None:
        raise click.UsageError("--preview is of one file")
    if several and manifest_output is not None:
        raise click.UsageError("--manifest-output is of one file")
    if resume and not several:
        raise click.UsageError("--resume is for several files")
    with running(environment, files, output, several=several, quiet=quiet) as run:
        arguments |= {"key_manager": run.manager}
        if output is None:
            shown = preview_file(files[0], rows=preview or 0, **arguments)
            _print_preview(shown, as_json=as_json)
            return
        arguments |= {"force": force, "rejects": rejects, "workers": workers}
        arguments |= {"on_progress": run.on_progress}
        written = (
            anonymize_files(files, output, resume=resume, on_file=run.on_file, **arguments)
            if several
            else anonymize_file(files[0], output, manifest_output=manifest_output, **arguments)
        )
    print_summary(written, run, as_json=as_json, quiet=quiet, err=output == STANDARD)


def _print_preview(preview: Preview, *, as_json: bool) -> None:
    if not as_json:
        show(*str(preview).split("\n"))
        return
    columns = [dataclasses.asdict(column) for column in preview.columns]
    rows = json.loads(preview.rows.to_json(orient="records", date_format="iso"))
    show_json({"columns": columns, "rows": rows})
