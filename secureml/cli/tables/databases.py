"""Tables of a database in the place of files: their options, and what is told of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from secureml.cli.tables.running import Run, running
from secureml.errors import KeyMaterialError, SecretNotFoundError
from secureml.secret_types import SecretText, conceal

if TYPE_CHECKING:
    from secureml.anonymization.previewing import Preview
    from secureml.engines.postgres import Database, WrittenTable
    from secureml.key_management import KeyManager

__all__ = ["DatabaseJob", "database_job", "database_options"]

_OF_FILES = ("delimiter", "encoding", "header", "manifest_output", "rejects", "resume", "workers")
_PAIR = re.compile(r'((?:"(?:[^"]|"")*"|[^":])+)(?::(.+))?', re.DOTALL)

_table_option = click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="A table of a database, and then that which is written; of several tables NAME:TARGET for"
    " each. A name with a dot or a colon is in quotation marks.",
)
_password_option = click.option(
    "--password-secret",
    multiple=True,
    metavar="NAME",
    help="The secret that is the password of the database; a second one is of the output's.",
)


def database_options(function: Any) -> Any:
    """Add the options for tables of databases."""
    return _table_option(_password_option(function))


@dataclass(frozen=True, slots=True)
class DatabaseJob:
    """What a command does with tables of a database.

    Args:
        url: of the database.
        output: that of the database of the results; None for the same.
        tables: the names of the results, by those of the tables.
        secrets: the names of the passwords.
    """

    url: str
    output: str | None
    tables: dict[str, str]
    secrets: Sequence[str]

    @property
    def title(self) -> str:
        """What is worked on, without credentials."""
        from secureml.engines.postgres import Database

        return Database(self.url).shown

    @property
    def table(self) -> str:
        """The one table.

        Raises:
            UsageError: there are several.
        """
        if len(self.tables) > 1:
            raise click.UsageError("one --table is needed here")
        return next(iter(self.tables))

    def write(
        self,
        function: Callable[..., Sequence[WrittenTable]],
        environment: str | None,
        options: dict[str, Any],
        *,
        force: bool,
        quiet: bool,
        as_json: bool,
    ) -> None:
        """Write the tables, and print what was written.

        Args:
            function: writes them, as ``anonymize_tables`` does.
            environment: to work in.
            options: of the command.
            force: whether tables that are there are replaced.
            quiet: show no progress and no summary.
            as_json: print JSON.

        Raises:
            SecureMLError: as of the function.
        """
        arguments = _for_tables(options)
        with running(environment, [self.title], None, quiet=quiet) as run:
            written = function(
                self.source(run.manager),
                self.tables,
                self._database(self.output or self.url, self.secrets[-1:], run.manager),
                if_exists="replace" if force else "error",
                on_progress=run.on_progress,
                key_manager=run.manager,
                **arguments,
            )
        self._tell(written, run, as_json=as_json, quiet=quiet)

    def preview(
        self, environment: str | None, rows: int, options: dict[str, Any], *, quiet: bool
    ) -> Preview:
        """Show what ``anonymize_tables`` would make of the first rows of the one table.

        Raises:
            SecureMLError: as of ``preview_table``.
        """
        from secureml.engines.postgres import preview_table

        arguments = _for_tables(options)
        with running(environment, [self.title], None, quiet=quiet) as run:
            source = self.source(run.manager)
            return preview_table(
                source, self.table, rows=rows, key_manager=run.manager, **arguments
            )

    def source(self, manager: KeyManager) -> Database:
        """Return the database of the tables.

        Raises:
            SecretError: the password can't be had.
        """
        return self._database(self.url, self.secrets[:1], manager)

    def _tell(self, written: Sequence[WrittenTable], run: Run, **how: bool) -> None:
        from secureml.cli.tables.summary import print_summary
        from secureml.engines.postgres import Database
        from secureml.files import Written, WrittenFiles

        results = tuple(
            Written(
                path=one.table,
                rows=one.rows,
                manifest=one.manifest,
                manifest_path=None if one.manifest is None else "its comment",
            )
            for one in written
        )
        left_out = tuple(f"{one.table}, {each}" for one in written for each in one.left_out)
        output = Database(self.output or self.url).shown
        print_summary(
            WrittenFiles(output=output, files=results, left_out=left_out), run, what="table", **how
        )

    def _database(self, url: str, secrets: Sequence[str], manager: KeyManager) -> Database:
        from secureml.engines.postgres import Database

        if not secrets:
            return Database(url)
        password = conceal(manager.get_secret(secrets[0]))
        if password.reveal() is None:
            raise SecretNotFoundError(f"the secret {secrets[0]!r}, the password, is absent")
        if not isinstance(password, SecretText):
            raise KeyMaterialError(f"the secret {secrets[0]!r} is no text, so it is no password")
        return Database(url, password)


def database_job(
    files: Sequence[str],
    output: str | None,
    tables: Sequence[str],
    secrets: Sequence[str],
    *,
    writes: bool = True,
) -> DatabaseJob | None:
    """Return what is to be done with tables of a database; None for files.

    Args:
        files: what the command is given.
        output: where it writes.
        tables: of the option.
        secrets: of the option.
        writes: whether it writes anything.

    Raises:
        UsageError: the options do not fit.
    """
    from secureml.engines.postgres import is_database

    if not any(map(is_database, (*files, output or ""))):
        if tables or secrets:
            raise click.UsageError("--table and --password-secret are for databases")
        return None
    if len(files) > 1 or not is_database(files[0]):
        raise click.UsageError("a database stands alone, and its tables go into a database")
    if output is not None and not is_database(output):
        raise click.UsageError("the tables of a database go into a database: give its URL")
    _check_options()
    if len(secrets) > 1 + (output is not None):
        raise click.UsageError("there are more --password-secret than databases")
    named = [_named(table) for table in tables]
    pairs = [(name, target) for name, target in named if target is not None]
    single = [name for name, target in named if target is None]
    if not named or (pairs and single) or len(single) > 1 + writes or (pairs and not writes):
        how = "--table NAME --table TARGET, or --table NAME:TARGET for each of several tables"
        raise click.UsageError(f"give {how if writes else 'one --table'}")
    if len(single) == 1 and writes and output is None:
        raise click.UsageError("give the name of the table to write too: --table TARGET")
    found = dict(pairs) if pairs else {single[0]: single[-1]}
    if len(found) < len(pairs):
        raise click.UsageError("a table is given twice")
    return DatabaseJob(files[0], output, found, secrets)


def _for_tables(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are not for files, with the manifest in the file that is named."""
    from secureml.files.manifests import document_in

    path = options["manifest"]
    manifest = None if path is None else document_in(Path(path))[0]
    others = {name: option for name, option in options.items() if name not in _OF_FILES}
    return {**others, "manifest": manifest}


def _check_options() -> None:
    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "")
        if parameter.name in _OF_FILES and given is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{max(parameter.opts, key=len)} is for files")


def _named(table: str) -> tuple[str, str | None]:
    found = _PAIR.fullmatch(table)
    if found is None:
        raise click.BadParameter(f"{table!r} is no NAME or NAME:TARGET", param_hint="--table")
    return found[1], found[2]
