"""``secureml completion``: prints what makes a shell complete commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from secureml.cli.base import command
from secureml.cli.output import show

__all__ = ["completion"]


@command()
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def completion(environment: str | None, shell: str) -> None:
    """Print a script that completes commands in bash, zsh or fish.

    It completes subcommands, options and their values, environments that the settings files
    declare, and names of files.

    Examples:
      secureml completion bash > ~/.local/share/bash-completion/completions/secureml
      secureml completion zsh > ~/.zfunc/_secureml
      secureml completion fish > ~/.config/fish/completions/secureml.fish
    """
    found = get_completion_class(shell)
    program = click.get_current_context().find_root().command
    assert found is not None, "click has all three"
    script = found(program, {}, "secureml", "_SECUREML_COMPLETE").source()
    show(*script.rstrip("\n").split("\n"))
