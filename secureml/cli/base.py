"""What all commands share: ``--env``, examples, exit codes, and what goes to stderr."""

from __future__ import annotations

import importlib
import inspect
import io
import os
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from secureml.cli.flags import in_flags, usage_error
from secureml.cli.output import discard, show, show_error
from secureml.cli.signals import tidied_up
from secureml.errors import (
    AccessDeniedError,
    ArgumentError,
    AuthenticationError,
    ConfigurationError,
    SecretNotFoundError,
    SecureMLError,
    SecureMLWarning,
    VaultUnavailableError,
)

__all__ = [
    "INTERRUPTED",
    "Interrupted",
    "LazyGroup",
    "Program",
    "command",
    "complete_environment",
    "exit_code_of",
    "fail",
    "note",
    "warn",
]

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the number of the signal, as in shells."""

_EXIT_CODES: tuple[tuple[type[SecureMLError], int], ...] = (
    (ArgumentError, 2),
    (ConfigurationError, 2),
    (SecretNotFoundError, 3),
    (AccessDeniedError, 4),
    (AuthenticationError, 4),
    (VaultUnavailableError, 5),
)


class LazyGroup(click.Group):
    """A group that loads a subcommand when it is called, and lists all without loading any.

    Args:
        package: the package that the modules are in.
        commands_at: by name, the module of a subcommand and its summary. ``module:attribute`` if
            the attribute is named otherwise.
        **attributes: those of ``click.Group``.
    """

    def __init__(
        self, *, package: str, commands_at: Mapping[str, tuple[str, str]], **attributes: Any
    ) -> None:
        super().__init__(**attributes)
        self._package = package
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of the subcommands."""
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a subcommand; None if there is no such name."""
        if cmd_name not in self._commands_at:
            return None
        place, _, attribute = self._commands_at[cmd_name][0].partition(":")
        module = importlib.import_module(f".{place}", self._package)
        found: click.Command = getattr(module, attribute or cmd_name.replace("-", "_"))
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands with their summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._commands_at.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a subcommand or an option."""
        found = [
            CompletionItem(name, help=text)
            for name, (_, text) in self._commands_at.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


class Program(LazyGroup):
    """The top command: reports errors and warnings, and ends with an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the program and end it; errors of click are printed as all others are."""
        run = super().main
        if not standalone_mode:
            return run(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = run(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            message = io.StringIO()
            error.show(message)
            show(*message.getvalue().splitlines(), err=True)
            code = error.exit_code
        except click.Abort:
            show("interrupted", err=True)
            code = INTERRUPTED
        except OSError as error:
            discard()
            what = "the output can't be written" if error.filename is None else error.filename
            show(f"error: {what} ({error.strerror or type(error).__name__})", err=True)
            code = 1
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> object:
        """Run a subcommand, turning an error of ours into one line and an exit code."""
        try:
            with tidied_up(), warnings.catch_warnings():
                _print_our_warnings()
                return super().invoke(ctx)
        except SecureMLError as error:
            _show_traceback(ctx, error)
            failure = error
        show_error(in_flags(str(failure)), in_flags(failure.remedy))
        raise click.exceptions.Exit(exit_code_of(failure))

    def _main_shell_completion(self, *arguments: Any, **more: Any) -> None:
        try:
            super()._main_shell_completion(*arguments, **more)
        except (KeyError, ValueError):
            sys.exit(1)  # the shell's variables are not as its own script sets them


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped a command; the message tells what was changed."""


class _Command(click.Command):
    """A command whose every value goes behind an option."""

    interrupted = ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            # Not repeated in the message: it may be a token that lost its option.
            ctx.fail("An argument without an option; every value goes behind one.")
        return ctx.args

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            state = str(interrupt) or self.interrupted
        except ArgumentError as error:
            _show_traceback(ctx, error)
            wrong = usage_error(error, self)
            wrong.ctx = ctx
            raise wrong from None
        show("", f"interrupted: {state}", err=True)
        raise click.exceptions.Exit(INTERRUPTED)


def command(
    interrupted: str = "nothing was changed", **attributes: Any
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function a command with ``--env``, which it gets as ``environment``.

    Its docstring is the help, and the section ``Examples:`` at its end goes behind the options.

    Args:
        interrupted: what is printed if Ctrl-C stops it: what was changed.
        **attributes: further ones of ``click.Command``.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        text, _, examples = inspect.cleandoc(function.__doc__ or "").partition("\nExamples:\n")
        with_env = click.option(
            "--env",
            "environment",
            metavar="NAME",
            shell_complete=complete_environment,
            help="The environment to work in; wins over SECUREML_ENV.",
        )(function)
        lines = textwrap.indent(textwrap.dedent(examples), "  ")
        epilog = f"\b\nExamples:\n{lines}"
        made = click.command(cls=_Command, help=text, epilog=epilog, **attributes)(with_env)
        made.interrupted = interrupted
        return made

    return decorate


def complete_environment(_ctx: click.Context, _param: click.Parameter, beginning: str) -> list[str]:
    """Complete the name of an environment, one that the settings files declare too."""
    # Here, because the help of every command would load it. Nothing is merged or checked.
    from secureml.settings.environments import ENVIRONMENTS
    from secureml.settings.files import find_files, read_sections

    names = dict.fromkeys(ENVIRONMENTS)
    with suppress(ConfigurationError):
        found = find_files(os.environ)
        for path in filter(None, (found.main, found.local)):
            names |= dict.fromkeys(read_sections(path, found.owners))
    return [name for name in names if name != "default" and name.startswith(beginning)]


def exit_code_of(error: SecureMLError) -> int:
    """Return the exit code that stands for an error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


def fail(message: str, exit_code: int) -> NoReturn:
    """End the program with an ``error:`` line and an exit code."""
    show_error(message)
    raise click.exceptions.Exit(exit_code)


def note(message: str) -> None:
    """Print a line that is not the command's result."""
    show(f"note: {message}", err=True)


def warn(message: str) -> None:
    """Print a line about something that may not be as wanted."""
    show(*f"warning: {message}".split("\n"), err=True)


def _show_traceback(ctx: click.Context, error: SecureMLError) -> None:
    """Print where an error comes from, if ``--debug`` is given."""
    if ctx.find_root().params.get("debug"):
        show(*"".join(traceback.format_exception(error)).splitlines(), err=True)


def _print_our_warnings() -> None:
    """Print warnings of this package, each once, as a line, and all others as Python does."""
    warnings.simplefilter("always", SecureMLWarning)
    printed = set()

    def show_one(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, SecureMLWarning):
            text = warnings.formatwarning(message, category, *place[:2])
            show(*text.splitlines(), err=True)
            return
        text = getattr(message, "details", "") or str(message)
        if text not in printed:
            printed.add(text)
            warn(text)

    warnings.showwarning = show_one
