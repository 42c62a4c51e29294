"""What the table of settings says, for editors and for readers."""

from __future__ import annotations

import itertools
from typing import Any

from secureml.registry import VENDOR_NAME
from secureml.settings.checks import check_path
from secureml.settings.environments import ENVIRONMENTS, NAME_PATTERN, NO_SECTIONS
from secureml.settings.packaged import packaged_defaults
from secureml.settings.patterns import END, NO_NUL, PATTERNS, PROTECTED_URLS, SECRET_REFERENCE
from secureml.settings.rules import (
    CHOICES,
    KEYS,
    LARGEST_COUNT,
    OPTIONS,
    Profiles,
    Rules,
)
from secureml.settings.run_secrets import VARIABLE, RunSecrets
from secureml.settings.schema import RIVALS, SETTINGS, check_key_name
from secureml.settings.setting import LARGEST, Setting

__all__ = ["default_of", "json_schema", "reference", "type_of"]

_KINDS: dict[type, str] = {
    bool: "boolean",
    float: "number",
    int: "integer",
    list: "array",
    Rules: "object",
    Profiles: "object",
    RunSecrets: "object",
}
_PATTERNS = {**PATTERNS, check_key_name: PATTERNS[check_path]}
_OF_VENDOR = {"type": "string", "pattern": f"^{VENDOR_NAME.pattern}{END}"}
_RULES = {"$ref": "#/$defs/rules"}
_REFERENCE = {"type": "string", "pattern": SECRET_REFERENCE}
_TABLES: dict[type, dict[str, Any]] = {
    Rules: _RULES,
    Profiles: {
        "additionalProperties": {
            "type": "object",
            "properties": {
                "columns": _RULES,
                "domain_prefix": {"type": "string", "minLength": 1},
            },
            "minProperties": 1,
            "additionalProperties": False,
        }
    },
    RunSecrets: {
        "propertyNames": {"pattern": f"^{VARIABLE}{END}"},
        "additionalProperties": {
            "anyOf": [
                _REFERENCE,
                {
                    "type": "object",
                    "properties": {"file": _REFERENCE},
                    "required": ["file"],
                    "additionalProperties": False,
                },
            ]
        },
    },
}


_AS = {name: name for name in ENVIRONMENTS}
_AS["production"] = "production and environments that a settings file declares"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a settings file."""
    floor = {"use_default_fallback": {"const": False}, "vault_tls_verify": {"const": True}}
    strict = {**floor, "vault_url": {"pattern": PROTECTED_URLS}}
    section: dict[str, Any] = {"$ref": "#/$defs/section"}
    sections: dict[str, Any] = dict.fromkeys(("default", "development"), section)
    sections["staging"] = {"allOf": [section, {"properties": floor}]}
    sections["production"] = {"allOf": [section, {"properties": strict}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "secureml settings.toml",
        "type": "object",
        "properties": sections,
        "additionalProperties": sections["production"],
        "propertyNames": {"pattern": NAME_PATTERN + END, "not": {"enum": list(NO_SECTIONS)}},
        "$defs": {
            "section": {
                "type": "object",
                "properties": {setting.name: _schema_of(setting) for setting in SETTINGS},
                "additionalProperties": False,
                "allOf": [
                    {"not": {"required": list(pair)}}
                    for names in RIVALS
                    for pair in itertools.combinations(names, 2)
                ],
            },
            "rules": {"type": "object", "additionalProperties": {"$ref": "#/$defs/rule"}},
            "rule": {
                "type": "object",
                "properties": {key: _schema_of_key(key) for key in KEYS},
                "additionalProperties": _schema_of_option((str, int, bool, list)),
                "required": ["strategy"],
                "if": {"properties": {key: {"not": _OF_VENDOR} for key in ("strategy", "format")}},
                "then": {
                    "properties": {
                        **dict.fromkeys(KEYS, True),
                        **{key: _schema_of_option(kinds) for key, kinds in OPTIONS.items()},
                    },
                    "additionalProperties": False,
                },
            },
        },
    }


def reference() -> str:
    """Return the reference of all settings as a definition list in Markdown."""
    return "\n".join(_entry_of(setting) for setting in SETTINGS)


def _entry_of(setting: Setting) -> str:
    facts = [f"`{setting.variable}`", type_of(setting)]
    if default := default_of(setting):
        facts.append(f"default {default}")
    if setting.vault_may_set:
        facts.append("settable in Vault")
    return f"`{setting.name}`\n: {setting.doc}\n: {'; '.join(facts)}\n"


def _schema_of(setting: Setting) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": _KINDS.get(setting.kind, "string"),
        "description": setting.doc,
    }
    if setting.read is not None:
        return {**schema, **_TABLES[setting.kind]}
    if setting.default is not None:
        schema["default"] = setting.default
    if setting.allowed:
        schema["enum"] = list(setting.allowed)
    elif schema["type"] == "string":
        schema["minLength"] = 1
        schema["pattern"] = _PATTERNS[setting.check] if setting.check else NO_NUL
    if setting.kind in (int, float):
        schema["maximum"] = LARGEST
    # TOML's nan is within any limits, so that its being out of them is denied as well.
    if setting.minimum is not None:
        schema |= {"minimum": setting.minimum, "not": {"exclusiveMaximum": setting.minimum}}
    if setting.above is not None:
        schema |= {"exclusiveMinimum": setting.above, "not": {"maximum": setting.above}}
    return schema


def _schema_of_key(key: str) -> dict[str, Any]:
    if key == "format":
        known = f"({'|'.join(CHOICES[key])})(:|{END})"
        return {"type": "string", "pattern": f"^({known}|{VENDOR_NAME.pattern}{END})"}
    if key not in CHOICES:
        return {"type": "string", "minLength": 1}
    listed = {"enum": list(CHOICES[key])}
    return {"anyOf": [listed, _OF_VENDOR]} if key == "strategy" else listed


def _schema_of_option(kinds: tuple[type, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": [_KINDS.get(kind, "string") for kind in kinds]}
    if list in kinds:
        return {**schema, "items": {"type": "string"}, "minItems": 1}
    return {**schema, "minimum": 0, "maximum": LARGEST_COUNT} if kinds == (int,) else schema


def type_of(setting: Setting) -> str:
    """Return the type of a setting, or the values that it may take, as Markdown."""
    if setting.allowed:
        return "one of " + ", ".join(f"`{value}`" for value in setting.allowed)
    return "secret text" if setting.secret else _KINDS.get(setting.kind, "text")


def default_of(setting: Setting) -> str:
    """Return what holds if nobody sets a setting, as Markdown; empty for nothing."""
    if setting.default is None or setting.read is not None:
        return ""
    default = f"`{setting.shown(setting.default)}`"
    exceptions = [
        f"`{setting.shown(section[setting.name])}` in {_AS[environment]}"
        for environment in ENVIRONMENTS
        if setting.name in (section := packaged_defaults()[environment])
    ]
    return f"{default} ({', '.join(exceptions)})" if exceptions else default
