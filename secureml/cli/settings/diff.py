"""``secureml settings diff``: what two environments have differently."""

from __future__ import annotations

import click

from secureml.cli.base import command, complete_environment
from secureml.cli.options import json_option
from secureml.cli.output import show, show_json
from secureml.cli.settings.places import (
    environ_of,
    said_entry,
    show_block,
    told,
    variables_option,
)
from secureml.settings import Layers, Settings, differences, load_settings

__all__ = ["diff"]


@command()
@click.argument("one", metavar="ENVIRONMENT", shell_complete=complete_environment)
@click.argument(
    "other", metavar="[ENVIRONMENT]", required=False, shell_complete=complete_environment
)
@variables_option
@json_option
def diff(
    environment: str | None, *, one: str, other: str | None, variables: bool, as_json: bool
) -> None:
    """Print the settings that differ between two environments.

    Each comes with both values and where they come from. Rules are compared key by key. A second
    environment that is not given is that of --env. Vault is not asked, and secrets stay hidden.
    Variables would be the same in both, and do not count without --variables.

    Examples:
      secureml settings diff development production
      secureml settings diff production --env staging --json
    """
    if (other is None) == (environment is None):
        raise click.UsageError("Give two environments, or one and --env.")
    environ = environ_of(variables=variables)
    names = (one, other or environment)
    pair: list[Settings] = [load_settings(Layers(environment=n), environ=environ) for n in names]
    labels = [str(settings.environment) for settings in pair]
    found = [
        (setting, keys, dict(zip(labels, said, strict=True)))
        for setting, keys, *said in differences(*pair)
    ]
    if as_json:
        show_json(
            {
                ".".join((setting.name, *keys)): {
                    label: said_entry(setting, each, *keys) for label, each in said.items()
                }
                for setting, keys, said in found
            }
        )
        return
    for setting, keys, said in found:
        rows = (
            (label, setting.shown(each.value), told(each.origin, setting.name, *keys))
            for label, each in said.items()
        )
        show_block(".".join((setting.name, *keys)), rows)
    if not found:
        show(f"nothing differs between {' and '.join(labels)}")
