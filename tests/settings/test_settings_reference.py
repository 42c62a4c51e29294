from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from secureml.errors import ConfigurationError
from secureml.settings import SETTINGS, Layers, json_schema, load_settings, reference


def test_the_reference_has_a_row_per_setting() -> None:
    rows = reference().splitlines()[2:]
    assert len(rows) == len(SETTINGS)
    for setting, row in zip(SETTINGS, rows, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert cells[0] == f"`{setting.name}`"
        assert cells[1] == f"`{setting.variable}`"
        assert cells[5] == setting.doc
    text = reference()
    assert "| boolean | `true` (`false` in production) | no |" in text
    assert "| number | `300` | yes |" in text
    assert "| integer | `1024` | yes |" in text
    assert "| secret text |  | no |" in text
    assert "| one of `token`, `token_file`, `approle`, " in text
    assert "`cert`, `none` | `token` | no |" in text


def test_the_schema_is_json_and_describes_every_setting() -> None:
    schema = json.loads(json.dumps(json_schema()))
    properties = schema["$defs"]["section"]["properties"]
    assert list(properties) == [setting.name for setting in SETTINGS]
    assert properties["vault_timeout"] == {
        "type": "number",
        "description": "Seconds that a request may take in all.",
        "default": 5.0,
        "exclusiveMinimum": 0.0,
    }
    assert properties["vault_auth"]["enum"][:3] == ["token", "token_file", "approle"]
    assert properties["vault_token"] == {
        "type": "string",
        "description": "Token to log in with; keep it out of settings files.",
        "minLength": 1,
    }


def fits(document: dict[str, Any]) -> bool:
    """Whether the schema allows a file, for the few keywords that the schema uses."""
    schema = json_schema()
    section = schema["$defs"]["section"]
    for name, values in document.items():
        rule = schema["properties"].get(name, schema["additionalProperties"])
        if not re.search(schema["propertyNames"]["pattern"], name) or set(values) - set(
            section["properties"]
        ):
            return False
        for part in rule.get("allOf", ()):
            for key, limit in part.get("properties", {}).items():
                if key in values and values[key] != limit["const"]:
                    return False
        for key, value in values.items():
            types: dict[str, Any] = {
                "string": str,
                "boolean": bool,
                "number": (int, float),
                "integer": int,
            }
            if not isinstance(value, types[section["properties"][key]["type"]]):
                return False
    return True


@pytest.mark.parametrize(
    ("content", "valid"),
    [
        ("[default]\nvault_path = 'a'\n[development]\nuse_default_fallback = true\n", True),
        ("[production]\nuse_default_fallback = false\n", True),
        ("[production]\nuse_default_fallback = true\n", False),
        ("[canary]\nuse_default_fallback = true\n", False),
        ("[default]\nvault_ulr = 'a'\n", False),
        ("[default]\nvault_path = 1\n", False),
        ("[default]\ncache_size = 7\n", True),
        ("[default]\ncache_size = 7.0\n", False),
        ("[Default]\n", False),
    ],
)
def test_the_schema_agrees_with_the_loader(tmp_path: Path, content: str, valid: bool) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(content)
    assert fits(tomllib.loads(content)) is valid
    environment = next((name for name in ("production", "canary") if f"[{name}]" in content), None)
    layers = Layers(files=(path,), environment=environment)
    if valid:
        load_settings(layers, environ={})
        return
    with pytest.raises(ConfigurationError):
        load_settings(layers, environ={})


EXAMPLE = Path(__file__).parents[2] / "settings.toml"


@pytest.mark.parametrize("environment", [None, "development", "staging", "production"])
def test_the_example_file_is_valid_and_changes_nothing(environment: str | None) -> None:
    found = load_settings(Layers(files=(EXAMPLE,), environment=environment), environ={})
    assert found == load_settings(Layers(files=(), environment=environment), environ={})


def test_what_the_example_file_has_in_comments_is_valid_too(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(re.sub(r"^# (?=\w+ = |\[)", "", EXAMPLE.read_text(), flags=re.MULTILINE))
    for environment in ("development", "staging", "production"):
        found = load_settings(Layers(files=(path,), environment=environment), environ={})
        assert found.vault_url
        assert found.origins["vault_url"] == f"settings.toml [{environment}]"
    assert found.columns["*email*"].strategy == "token"
