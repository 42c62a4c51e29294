"""``secureml demo``: the whole path on a server of its own."""

from __future__ import annotations

from pathlib import Path

import click

from secureml.cli.base import command

__all__ = ["demo"]


@command(interrupted="the server is stopped, and all it held is gone")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file; by default examples/customers.csv, or a small built-in table.",
)
def demo(environment: str | None, data: Path | None) -> None:
    """Pseudonymize a table, on a real server.

    Starts an OpenBao server of its own on a free port of this machine, makes a master key for each
    environment, pseudonymizes a table under the key of one (development by default), recovers it,
    rotates the key and recovers it again. Then the server is stopped and all it held is gone. No
    settings file is read or written. Without the extra `server` it runs on development keys.

    Examples:
      secureml demo
      secureml demo --data customers.csv --env staging
    """
    from secureml.cli.demonstration import run

    run(environment or "development", data)
