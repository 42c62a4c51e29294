"""The command ``secureml``. Nothing but click is loaded until one of its commands is called."""

from __future__ import annotations

import click

from secureml import __version__
from secureml.cli.base import Program

__all__ = ["main"]


@click.group(
    cls=Program,
    package=__name__,
    commands_at={
        "init": ("init", "Write the settings file that a project begins with"),
        "anonymize": ("tables.anonymize", "Replace values in files by pseudonyms"),
        "reidentify": ("tables.reidentify", "Recover the values that anonymize replaced in files"),
        "rekey": ("tables.rekey", "Move the pseudonyms in a file to another key"),
        "scan": ("tables.scan", "Propose rules for the columns of a file"),
        "run": ("run", "Run a program with secrets as its environment variables"),
        "keys": ("keys", "Make, read and rotate keys"),
        "vault": ("vault", "Set a Vault up, run one for development, see how one is"),
        "settings": ("settings", "Show, explain and check the settings"),
        "doctor": ("doctor", "Check settings, Vault, keys and files"),
        "completion": ("completion", "Print a script that completes commands in bash, zsh or fish"),
        "demo": ("demo", "Pseudonymize a table, on a real server"),
    },
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="secureml")
@click.option("--debug", is_flag=True, help="Show the traceback of an error too.")
def main(debug: bool) -> None:
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
