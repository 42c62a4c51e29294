"""The command ``secureml``. Nothing but click is loaded until a command runs."""

from __future__ import annotations

import click

from secureml import __version__
from secureml.cli.base import Program

__all__ = ["main"]

_COMMANDS = {
    "anonymize": "secureml.cli.tables.commands:anonymize",
    "reidentify": "secureml.cli.tables.commands:reidentify",
    "rekey": "secureml.cli.tables.commands:rekey",
    "scan": "secureml.cli.tables.scan:scan",
    "keys": "secureml.cli.keys:keys",
    "vault": "secureml.cli.vault:vault",
    "settings": "secureml.cli.settings:settings",
    "demo": "secureml.cli.demo:demo",
}


_CONTEXT = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}


@click.group(cls=Program, commands_at=_COMMANDS, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="secureml")
def main() -> None:
    """Keys from Vault or OpenBao, and tables pseudonymized with them.

    \b
    Exit codes:
      0  done
      1  failed
      2  wrong usage or wrong settings
      3  not found
      4  denied, or the credentials are not accepted
      5  Vault is unavailable or sealed
      130  interrupted
    """
