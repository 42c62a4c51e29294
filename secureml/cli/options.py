"""Options that several commands have, and files that options name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import click

from secureml.secret_types import SecretBytes

__all__ = [
    "content_of",
    "csv_options",
    "delimiter_option",
    "json_option",
    "key_name_option",
    "period",
]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

key_name_option = click.option(
    "--key-name", metavar="NAME", help="The key; by default the setting master_key_name."
)

delimiter_option = click.option(
    "--delimiter",
    default=None,
    metavar="CHAR",
    callback=lambda _ctx, _param, text: "\t" if text == "\\t" else text,
    help="What separates the values of a CSV file; \\t for a tab. By default it is found out.",
)


_encoding_option = click.option(
    "--encoding",
    metavar="NAME",
    help="That of a CSV file, such as cp1252; by default UTF-8, or what its first bytes tell.",
)

_header_option = click.option(
    "--no-header",
    "header",
    is_flag=True,
    flag_value=False,
    default=True,
    help="The first line of a CSV file names no columns: they are 1, 2, ...",
)


def csv_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that tell how a CSV file is written: delimiter, encoding and header."""
    return delimiter_option(_encoding_option(_header_option(function)))


def period(_ctx: click.Context, _param: click.Parameter, text: str | None) -> timedelta | None:
    """Read a length of time such as 7d; the callback of an option."""
    # Here, because the help of all commands with options of this module would load it.
    from secureml.key_management.rotation_period import period_in

    length = period_in(text)
    if text is not None and length is None:
        raise click.BadParameter("it takes a number and one of d, h, m and s, such as 7d.")
    return length


def content_of(file: Path, option: str, most: int = 65_536) -> SecretBytes:
    """Return the content of a file that an option names.

    Args:
        file: the file. It is not repeated in a message: it may be the secret itself.
        option: the option.
        most: how many bytes to read of a longer file.

    Raises:
        click.UsageError: it can't be read.
    """
    try:
        with file.open("rb") as stream:
            return SecretBytes(stream.read(most))
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
    raise click.UsageError(f"{option} can't be read: {problem}.")
