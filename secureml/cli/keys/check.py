"""``secureml keys check``: whether keys can be used, for monitoring."""

from __future__ import annotations

from contextlib import suppress

import click

from secureml.cli.base import command, exit_code_of, fail
from secureml.cli.diagnosis import inspect
from secureml.cli.options import json_option
from secureml.cli.output import show, show_json
from secureml.errors import AccessDeniedError, ConfigurationError, SecretError
from secureml.key_management import KeyManager
from secureml.key_management.duplicates import groups_of_duplicates
from secureml.settings import Layers, load_settings

__all__ = ["check"]


@command()
@json_option
def check(environment: str | None, *, as_json: bool) -> None:
    """Check that keys can be used, for monitoring.

    Reads the key of the settings as a program does, all its versions if it may, and looks at what
    `secureml vault status` shows. Prints what an operator should look at, a line each, and changes
    nothing.

    Ends with 0 if all is well, with 1 if something needs attention and keys can be used, and else
    as every command does: 3 if the key is absent or deleted, 4 if access is denied, 5 if Vault is
    unavailable.

    Examples:
      secureml keys check
      secureml keys check --env production --json
    """
    settings = load_settings(Layers(environment=environment))
    found = inspect(settings)
    findings = [finding.text for finding in found.findings]
    error: SecretError | ConfigurationError | None = found.error
    if error is None:
        try:
            with KeyManager(environment=environment) as manager:
                manager.get_secret(settings.master_key_name)
                # What reads one version alone may not list them all.
                with suppress(AccessDeniedError):
                    for twins in groups_of_duplicates(manager.key_history()):
                        numbers = " and ".join(str(twin.version) for twin in twins)
                        findings.append(f"{twins[0].path}: versions {numbers} hold the same key")
        except (SecretError, ConfigurationError) as failure:
            error = failure.with_traceback(None)
    if as_json:
        show_json({"findings": findings, "error": None if error is None else str(error)})
    else:
        for line in findings or (["ok"] if error is None else []):
            show(line)
    if error is not None:
        fail(str(error), exit_code_of(error))
    if findings:
        raise click.exceptions.Exit(1)
