"""``secureml settings explain``: all there is to know of one setting."""

from __future__ import annotations

from typing import Any

import click

from secureml.cli.base import command, note
from secureml.cli.options import json_option
from secureml.cli.output import show, show_json, shown
from secureml.cli.settings.places import Found, find, json_value
from secureml.errors import SecureMLError
from secureml.settings import Setting, default_of, type_of
from secureml.settings.environments import did_you_mean
from secureml.settings.schema import BY_NAME
from secureml.settings.variables import ENVIRONMENT_VARIABLE

__all__ = ["explain"]


def _names(_ctx: click.Context, _param: click.Parameter, beginning: str) -> list[str]:
    return [name for name in BY_NAME if name.startswith(beginning)]


@command()
@click.argument("name", metavar="SETTING", shell_complete=_names)
@json_option
def explain(environment: str | None, *, name: str, as_json: bool) -> None:
    """Tell what a setting is for, and where it is set.

    SETTING is a name such as vault_auth, or its variable. What each layer says of it is listed, the
    weakest first; * marks what is in force. Secrets stay hidden.

    Examples:
      secureml settings explain vault_auth
      secureml settings explain SECUREML_CACHE_TTL --env production --json
    """
    setting = _setting(name)
    found, failure = None, None
    try:
        found = find(environment)
    except SecureMLError as error:
        failure = error
    if as_json:
        show_json(_entry(setting, found))
    else:
        _print(setting, found)
    if found is not None and found.failure is not None:
        note("the record in Vault is not among these layers, and nothing runs without it")
        failure = found.failure
    if failure is not None:
        raise failure


def _entry(setting: Setting, found: Found | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": setting.name,
        "meaning": setting.doc,
        "type": _plain(type_of(setting)),
        "allowed": list(setting.allowed) or None,
        "default": json_value(setting, setting.default),
        "variable": setting.variable,
        "settable_in_vault": setting.vault_may_set,
        "secret": setting.secret,
    }
    if found is None:
        return entry
    return {**entry, **found.entry_of(setting), "layers": found.layers_of(setting)}


def _print(setting: Setting, found: Found | None) -> None:
    show(f"{setting.name}: {setting.doc}")
    facts = {
        "type": _plain(type_of(setting)),
        "default": _plain(default_of(setting)) or "none",
        "variable": setting.variable if setting.read is None else "none: it is a table",
        "in Vault": "can be set" if setting.vault_may_set else "can't be set",
    }
    show(*(f"  {name:<9} {fact}" for name, fact in facts.items()))
    if found is not None:
        found.show_layers(setting, "layers, the strongest last:")


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")


def _setting(name: str) -> Setting:
    wanted = name.lower().removeprefix("secureml_").replace("-", "_")
    if wanted in BY_NAME:
        return BY_NAME[wanted]
    if wanted in {"env", "environment"}:
        raise click.BadParameter(
            f"the environment is chosen by {ENVIRONMENT_VARIABLE} or in code.", param_hint="SETTING"
        )
    hint = did_you_mean(wanted[:80], BY_NAME)
    raise click.BadParameter(
        f"there is no setting {shown(name[:80])!r}{hint}", param_hint="SETTING"
    )
