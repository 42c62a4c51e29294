"""``secureml anonymize``, ``reidentify`` and ``rekey``: tables in files.

What loads pandas is imported when a command runs, so that its help is fast.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.base import Interrupted, command
from secureml.cli.options import delimiter_option, json_option, key_name_option
from secureml.cli.output import progress, show, show_json
from secureml.cli.tables.column_options import (
    by_column,
    column_options,
    options_of,
    strategies,
)
from secureml.key_management import KeyManager
from secureml.registry import VENDOR_NAME

if TYPE_CHECKING:
    from secureml.anonymization.previewing import Preview
    from secureml.files import Written

__all__ = ["anonymize", "reidentify", "rekey"]

_file = click.argument("file", metavar="FILE", type=click.Path())
_output = click.option(
    "--output", metavar="OUT", type=click.Path(), required=True, help="Where the result is written."
)
_manifest = click.option(
    "--manifest",
    metavar="M",
    type=click.Path(),
    help="The manifest; by default the one in the file or beside it.",
)
_force = click.option("--force", is_flag=True, help="Replace an output that is there.")
_unchecked = click.option(
    "--no-table-check",
    "check_table",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Accept rows that the manifest was not made with.",
)


@command()
@_file
@click.option("--output", metavar="OUT", type=click.Path(), help="Where the result is written.")
@click.option(
    "--preview",
    type=click.IntRange(0),
    is_flag=False,
    flag_value=5,
    metavar="N",
    help="Write nothing: show N rows (5) before and after, and figures for each column.",
)
@click.option(
    "--columns",
    metavar="A,B,...",
    help="The columns to replace; by default those that the rules of the settings name.",
)
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
@click.option("--small-domain", metavar="POLICY", help="error, token, null or permute.")
@click.option("--on-invalid", metavar="POLICY", help="error, token or null.")
@click.option("--normalize", metavar="FORM", help="NFC.")
@click.option("--on-ordered", metavar="POLICY", help="error or keep, for ordered categories.")
@click.option("--profile", metavar="NAME", help="A set of rules in the settings.")
@key_name_option
@click.option(
    "--key-versions", is_flag=True, help="Add a column with the version of the key for each."
)
@delimiter_option
@_force
@json_option
def anonymize(
    environment: str | None,
    *,
    file: str,
    output: str | None,
    preview: int | None,
    columns: str | None,
    strategy: Sequence[str],
    key_name: str | None,
    force: bool,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Replace values in a file by pseudonyms.

    The file is CSV or Parquet. The manifest, which recovery needs, is in a Parquet file itself,
    and beside a CSV file as OUT.manifest.json.

    Examples:
      secureml anonymize customers.csv --output hidden.csv --columns ssn,email
      secureml anonymize customers.parquet --output hidden.parquet --columns ssn --format ssn=ssn
      secureml anonymize customers.csv --output hidden.csv --columns card \\
          --format card=credit_card --option card.keep_first=4 --option card.keep_last=4
      secureml anonymize customers.csv --columns ssn,email --preview
    """
    from secureml.files import anonymize_file, preview_file

    if (output is None) == (preview is None):
        raise click.UsageError("give --output, or --preview")
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    of_vendor = any(
        VENDOR_NAME.fullmatch(one.rpartition("=")[2])
        for one in (*strategy, *arguments["formats"].values())
    )
    arguments |= {
        "sensitive_columns": names,
        "strategy": strategies(strategy, names),
        "options": options_of(arguments["options"], of_vendor=of_vendor),
        "master_key_name": key_name,
    }
    with _work(environment, file, output) as (manager, on_progress):
        arguments["key_manager"] = manager
        if output is None:
            _print_preview(preview_file(file, rows=preview or 0, **arguments), as_json=as_json)
            return
        written = anonymize_file(file, output, force=force, on_progress=on_progress, **arguments)
    _print(written, as_json=as_json)


@command()
@_file
@_output
@_manifest
@_unchecked
@delimiter_option
@_force
@json_option
def reidentify(
    environment: str | None,
    *,
    file: str,
    output: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Recover the values that anonymize replaced in a file.

    Only you can read the result.

    Examples:
      secureml reidentify hidden.csv --output recovered.csv
      secureml reidentify part.csv --output recovered.csv --manifest hidden.csv.manifest.json
    """
    from secureml.files import reidentify_file

    with _work(environment, file, output) as (manager, on_progress):
        written = reidentify_file(
            file, output, on_progress=on_progress, key_manager=manager, **options
        )
    _print(written, as_json=as_json)


@command()
@_file
@click.option(
    "--output",
    metavar="OUT",
    type=click.Path(),
    help="Where the result is written; by default in the file's place.",
)
@_manifest
@click.option(
    "--to-key", metavar="NAME", help="The new key; by default the newest version of the same."
)
@click.option(
    "--drop-missing", is_flag=True, help="Forget columns of the manifest that the file lacks."
)
@_unchecked
@delimiter_option
@_force
@json_option
def rekey(
    environment: str | None,
    *,
    file: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Move the pseudonyms in a file to another key.

    By default this is the newest version of their own. If it is stopped, run it again: it goes on
    where it was. The file is replaced only when all is done.

    Examples:
      secureml rekey hidden.csv
      secureml rekey hidden.parquet --to-key customers_2027 --output moved.parquet
    """
    from secureml.files import rekey_file

    target = options["output"] or file
    with _work(environment, file, target, resumes=True) as (manager, on_progress):
        written = rekey_file(file, on_progress=on_progress, key_manager=manager, **options)
    _print(written, as_json=as_json)


@contextlib.contextmanager
def _work(
    environment: str | None, file: str, output: str | None, *, resumes: bool = False
) -> Iterator[tuple[KeyManager, Callable[[float], object] | None]]:
    """Lend a key manager and what shows the progress; after Ctrl-C, tell what was written."""
    from secureml.files.manifests import work_folder_of

    before = _state(output)
    try:
        with KeyManager(environment=environment) as manager, progress(file) as on_progress:
            yield manager, on_progress
            return
    except KeyboardInterrupt:
        state = "nothing was changed"
    if output is not None:
        state = f"{output} is " + ("as it was" if _state(output) == before else "written")
        kept = work_folder_of(Path(output).resolve())
        if resumes and kept.exists():
            state += f"; {kept} holds what is done, so run it again to go on"
    raise Interrupted(state)


def _state(path: str | None) -> tuple[int, ...] | None:
    """Return what tells whether a file was replaced; None for one that is not there."""
    try:
        found = Path(path or "").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _print_preview(preview: Preview, *, as_json: bool) -> None:
    if not as_json:
        show(*str(preview).split("\n"))
        return
    columns = [dataclasses.asdict(column) for column in preview.columns]
    rows = json.loads(preview.rows.to_json(orient="records", date_format="iso"))
    show_json({"columns": columns, "rows": rows})


def _print(written: Written, *, as_json: bool) -> None:
    facts: dict[str, object] = {"path": str(written.path), "rows": written.rows}
    if written.manifest is not None:
        key = written.manifest["key"]
        facts |= {"key": key["name"], "version": key["version"]}
    if written.manifest_path is not None:
        facts |= {"manifest": str(written.manifest_path)}
    if as_json:
        show_json(facts)
        return
    for name, value in facts.items():
        if value is not None:
            show(f"{name + ':':<9} {value}")
