"""``secureml run``: runs a program with secrets as its environment variables."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

import click

from secureml.cli.base import command, fail
from secureml.cli.programs.masking import Masker
from secureml.cli.programs.process import CAN_REPLACE, NotStartedError, replace, supervise
from secureml.cli.programs.secret_files import SecretFiles
from secureml.errors import SecretError, SecretNotFoundError
from secureml.key_management import KeyManager
from secureml.secret_types import SecretBytes, SecretFields, SecretText, SecretValue, revealed
from secureml.settings.run_secrets import RunSecrets, SecretReference
from secureml.settings.variables import is_own

__all__ = ["run"]


def _pairs(_ctx: click.Context, param: click.Parameter, texts: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        variable, sign, reference = text.partition("=")
        # Not repeated: somebody may have written the secret itself.
        if not sign:
            raise click.BadParameter("it takes NAME=SECRET, such as DB_PASSWORD=database/password.")
        if pairs.setdefault(variable, reference) != reference:
            raise click.BadParameter("one variable is given two secrets.")
    return pairs


@command(
    interrupted="the program was not started",
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--secret",
    "as_variables",
    multiple=True,
    metavar="NAME=SECRET",
    callback=_pairs,
    help="A variable, and the secret that it holds; SECRET#FIELD for a field of it.",
)
@click.option(
    "--secret-file",
    "as_files",
    multiple=True,
    metavar="NAME=SECRET",
    callback=_pairs,
    help="A variable, and the secret in the file that it names.",
)
@click.option("--mask", is_flag=True, help="Print *** in place of secrets in the program's output.")
@click.argument("program", nargs=-1, required=True, metavar="COMMAND [ARGS]...")
def run(
    environment: str | None,
    *,
    as_variables: dict[str, str],
    as_files: dict[str, str],
    mask: bool,
    program: tuple[str, ...],
) -> None:
    """Run a program with secrets as its environment variables.

    Those of the table `run` in the settings are handed over too; an option is stronger. Variables
    that begin with SECUREML_, VAULT_ or BAO_ are not handed over: the program can reach the
    secrets that are named, and no others.

    If a secret is absent or denied, or Vault is unavailable, the program is not started. It takes
    the place of this process, so that signals and its exit code are its own. With --mask this
    process stays, passes signals on and ends as the program does; the program sees a pipe in
    place of a terminal.

    Ends with 127 if the program is not found, and with 126 if it can't be run.

    Examples:
      secureml run --secret DB_PASSWORD=database/password -- psql -h db.example.com
      secureml run --secret DB_PASSWORD=database#password --mask -- ./report.sh
      secureml run --secret-file TLS_KEY=web/tls#key --env production -- ./serve
    """
    named = RunSecrets.read(as_variables, "--secret").over(
        RunSecrets.read({name: {"file": text} for name, text in as_files.items()}, "--secret-file")
    )
    if both := as_variables.keys() & as_files.keys():
        raise click.UsageError(f"--secret and --secret-file both give {min(both)}.")
    with KeyManager(environment=environment) as manager:
        wanted = named.over(manager.settings.run)
        if not wanted:
            raise click.UsageError("Name a secret with --secret, or in the table `run`.")
        secrets = {variable: _secret(manager, wanted[variable]) for variable in wanted}
    with SecretFiles() as files:
        values = {
            variable: SecretText(files.add(variable, secret))
            if wanted[variable].as_file
            else _value_of(variable, secret)
            for variable, secret in secrets.items()
        }
        try:
            if CAN_REPLACE and not mask and not files.need_removal:
                replace(program, _environment(values))
            masker = (lambda: Masker(secrets.values())) if mask else None
            code = supervise(program, _environment(values), masker)
        except NotStartedError as error:
            message, code = str(error), error.exit_code
        else:
            raise click.exceptions.Exit(code)
    fail(message, code)


def _secret(manager: KeyManager, reference: SecretReference) -> SecretBytes:
    """Read a secret, or the field of one; what is no text is written as JSON has it."""
    fields = _fields(manager, reference.secret)
    if reference.field is None and "value" not in fields:
        raise SecretError(
            f"{reference.secret!r} is a structured secret: write {reference.secret}#FIELD"
        )
    name = reference.field or "value"
    if name not in fields:
        raise SecretNotFoundError(f"the secret {reference.secret!r} has no field {name!r}")
    try:
        return SecretBytes(os.fsencode(_text(fields[name])))
    except UnicodeEncodeError:
        pass
    raise SecretError(f"{reference.text!r} holds what the encoding of this system lacks")


def _fields(manager: KeyManager, name: str) -> SecretFields:
    content = manager.get_secret(name)
    if content is not None:
        return SecretFields({"value": content} if isinstance(content, str) else content)
    manager.secret_info(name)  # tells where it was looked for
    raise SecretNotFoundError(f"there is no secret {name!r}")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value_of(variable: str, secret: SecretBytes) -> SecretText:
    if b"\0" in secret.reveal():
        raise SecretError(f"the secret for {variable} holds a NUL, which no variable can")
    return SecretText(os.fsdecode(secret.reveal()))


def _environment(values: Mapping[str, SecretText]) -> SecretValue:
    kept = {name: value for name, value in os.environ.items() if not is_own(name)}
    return SecretValue(kept | revealed(values))
