"""What every command shares: ``--env``, examples, exit codes, and what goes to stderr."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import click

from secureml.cli.signals import tidied_up
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    SecretNotFoundError,
    SecureMLError,
    SecureMLWarning,
    VaultUnavailableError,
)

__all__ = ["Program", "command", "exit_code_of", "fail", "note", "warn"]

_EXIT_CODES: tuple[tuple[type[SecureMLError], int], ...] = (
    (ConfigurationError, 2),
    (SecretNotFoundError, 3),
    (AccessDeniedError, 4),
    (AuthenticationError, 4),
    (VaultUnavailableError, 5),
)


class Program(click.Group):
    """The top command: loads a subcommand when it is called, and reports errors and warnings.

    Args:
        commands_at: where each subcommand lives, as ``module:attribute`` by name.
        **attributes: those of ``click.Group``.
    """

    def __init__(self, commands_at: Mapping[str, str], **attributes: Any) -> None:
        super().__init__(**attributes)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of the subcommands."""
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a subcommand; None where there is no such name."""
        if cmd_name not in self._commands_at:
            return None
        module, attribute = self._commands_at[cmd_name].split(":")
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def invoke(self, ctx: click.Context) -> object:
        """Run a subcommand, turning an error of ours into one line and an exit code."""
        try:
            with tidied_up(), warnings.catch_warnings():
                _print_our_warnings()
                return super().invoke(ctx)
        except SecureMLError as error:
            failure = error
        return fail(str(failure), exit_code_of(failure))


class _Command(click.Command):
    """A command that takes options alone."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        super().parse_args(ctx, args)
        if ctx.args:
            # Not repeated in the message: it may be a token that lost its option.
            ctx.fail("An argument without an option; every value goes behind one.")
        return ctx.args


def command(name: str, examples: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function a command with ``--env``, which it gets as ``environment``.

    Args:
        name: the command's name.
        examples: lines that show its use, for ``--help``.
    """
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())

    def decorate(function: Callable[..., None]) -> click.Command:
        with_env = click.option(
            "--env",
            "environment",
            metavar="NAME",
            help="The environment to work in; wins over SECUREML_ENV.",
        )(function)
        return click.command(name, cls=_Command, epilog=f"\b\nExamples:\n{lines}")(with_env)

    return decorate


def exit_code_of(error: SecureMLError) -> int:
    """Return the exit code that stands for an error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


def fail(message: str, exit_code: int) -> NoReturn:
    """End the program with an ``error:`` line and an exit code."""
    click.echo(f"error: {message}", err=True)
    raise click.exceptions.Exit(exit_code)


def note(message: str) -> None:
    """Print a line that is not the command's result."""
    click.echo(f"note: {message}", err=True)


def warn(message: str) -> None:
    """Print a line about something that may not be as wanted."""
    click.echo(f"warning: {message}", err=True)


def _print_our_warnings() -> None:
    """Print warnings of this package, each once, as a line; leave all others as they are."""
    warnings.simplefilter("always", SecureMLWarning)
    others = warnings.showwarning
    printed = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, SecureMLWarning):
            others(message, category, *place, **more)
            return
        text = getattr(message, "details", "") or str(message)
        if text not in printed:
            printed.add(text)
            warn(text)

    warnings.showwarning = show
