"""``secureml keys check``: whether keys can be used, for monitoring."""

from __future__ import annotations

import click

from secureml.cli.base import command, exit_code_of, fail
from secureml.cli.keys_shown import as_json_option
from secureml.cli.output import show, show_json

__all__ = ["check"]


@command(
    "check",
    examples="""
secureml keys check
secureml keys check --env production --json
""",
)
@as_json_option
def check(environment: str | None, *, as_json: bool) -> None:
    """Check that keys can be used, for monitoring.

    Reads the key of the settings as a program does, and looks at what `secureml vault status`
    shows. Prints what an operator should look at, a line each, and changes nothing.

    Ends with 0 if all is well, with 1 if something needs attention and keys can be used, and else
    as every command does: 3 if the key is absent or deleted, 4 if access is denied, 5 if Vault is
    unavailable.
    """
    from secureml.cli.inspection import inspect
    from secureml.errors import ConfigurationError, SecretError
    from secureml.key_management import KeyManager
    from secureml.settings import Layers, load_settings

    settings = load_settings(Layers(environment=environment))
    found = inspect(settings)
    error: SecretError | ConfigurationError | None = found.error
    if error is None:
        try:
            with KeyManager(environment=environment) as manager:
                manager.get_secret(settings.master_key_name)
        except (SecretError, ConfigurationError) as failure:
            error = failure.with_traceback(None)
    if as_json:
        show_json({"findings": found.findings, "error": None if error is None else str(error)})
    else:
        for line in found.findings or (["ok"] if error is None else []):
            show(line)
    if error is not None:
        fail(str(error), exit_code_of(error))
    if found.findings:
        raise click.exceptions.Exit(1)
