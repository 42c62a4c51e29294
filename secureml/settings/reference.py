"""What the table of settings says, for editors and for readers."""

from __future__ import annotations

from typing import Any

from secureml.settings.environments import ENVIRONMENTS
from secureml.settings.packaged import packaged_defaults
from secureml.settings.rules import Profiles, Rules
from secureml.settings.schema import SETTINGS
from secureml.settings.setting import Setting

__all__ = ["json_schema", "reference"]

_KINDS: dict[type, str] = {
    bool: "boolean",
    float: "number",
    int: "integer",
    Rules: "object",
    Profiles: "object",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a settings file."""
    section = {"$ref": "#/$defs/section"}
    floor = {"properties": {"use_default_fallback": {"const": False}}}
    sections: dict[str, Any] = dict.fromkeys(("default", "development"), section)
    sections |= {name: {"allOf": [section, floor]} for name in ("staging", "production")}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "secureml settings.toml",
        "type": "object",
        "properties": sections,
        "additionalProperties": {"allOf": [section, floor]},
        "propertyNames": {"pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "$defs": {
            "section": {
                "type": "object",
                "properties": {setting.name: _schema_of(setting) for setting in SETTINGS},
                "additionalProperties": False,
            }
        },
    }


def reference() -> str:
    """Return the reference of all settings as a Markdown table."""
    rows = [
        "| Setting | Variable | Type | Default | Settable in Vault | Meaning |",
        "|---|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        cells = (
            f"`{setting.name}`",
            f"`{setting.variable}`",
            _type_of(setting),
            _default_of(setting),
            "yes" if setting.vault_may_set else "no",
            setting.doc,
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _schema_of(setting: Setting) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": _KINDS.get(setting.kind, "string"),
        "description": setting.doc,
    }
    if schema["type"] == "string":
        schema["minLength"] = 1
    if setting.read is not None:
        return schema
    if setting.default is not None:
        schema["default"] = setting.default
    if setting.allowed:
        schema["enum"] = list(setting.allowed)
    if setting.minimum is not None:
        schema["minimum"] = setting.minimum
    if setting.above is not None:
        schema["exclusiveMinimum"] = setting.above
    return schema


def _type_of(setting: Setting) -> str:
    if setting.allowed:
        return "one of " + ", ".join(f"`{value}`" for value in setting.allowed)
    return "secret text" if setting.secret else _KINDS.get(setting.kind, "text")


def _default_of(setting: Setting) -> str:
    if setting.default is None or setting.read is not None:
        return ""
    default = f"`{setting.shown(setting.default)}`"
    exceptions = [
        f"`{setting.shown(section[setting.name])}` in {environment}"
        for environment in ENVIRONMENTS
        if setting.name in (section := packaged_defaults()[environment])
    ]
    return f"{default} ({', '.join(exceptions)})" if exceptions else default
