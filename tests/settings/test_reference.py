from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from secureml.settings import SETTINGS, Layers, json_schema, load_settings, reference
from secureml.settings.checks import check_token
from secureml.settings.patterns import PATTERNS


def test_the_reference_has_an_entry_per_setting() -> None:
    entries = reference().split("\n\n")
    assert len(entries) == len(SETTINGS)
    for setting, entry in zip(SETTINGS, entries, strict=True):
        name, doc, facts = entry.rstrip("\n").split("\n: ")
        assert name == f"`{setting.name}`"
        assert doc == setting.doc
        assert facts.startswith(f"`{setting.variable}`; ")
        assert facts.endswith("; settable in Vault") == setting.vault_may_set
    text = reference()
    strict = "production and environments that a settings file declares"
    assert f"; boolean; default `true` (`false` in {strict})\n" in text
    assert "; number; default `300`; settable in Vault\n" in text
    assert "; integer; default `1024`; settable in Vault\n" in text
    assert ": `SECUREML_VAULT_TOKEN`; secret text\n" in text
    assert "; one of `token`, `token_file`, `approle`, " in text
    assert "`cert`, `none`; default `token`\n" in text


def test_the_schema_is_json_and_describes_every_setting() -> None:
    schema = json.loads(json.dumps(json_schema()))
    properties = schema["$defs"]["section"]["properties"]
    assert list(properties) == [setting.name for setting in SETTINGS]
    assert properties["vault_timeout"] == {
        "type": "number",
        "description": "Seconds that a request may take in all.",
        "default": 5.0,
        "maximum": 1e9,
        "exclusiveMinimum": 0.0,
        "not": {"maximum": 0.0},
    }
    assert properties["vault_auth"]["enum"][:3] == ["token", "token_file", "approle"]
    assert properties["vault_token"] == {
        "type": "string",
        "description": "Token to log in with; keep it out of settings files.",
        "minLength": 1,
        "pattern": PATTERNS[check_token],
    }


EXAMPLE = Path(__file__).parents[2] / "settings.toml"


@pytest.mark.parametrize("environment", [None, "development", "staging", "production"])
def test_the_example_file_is_valid_and_changes_nothing(environment: str | None) -> None:
    found = load_settings(Layers(files=(EXAMPLE,), environment=environment), environ={})
    assert found == load_settings(Layers(files=(), environment=environment), environ={})


def test_the_commented_lines_of_the_example_file_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(re.sub(r"^# (?=\w+ = |\[)", "", EXAMPLE.read_text(), flags=re.MULTILINE))
    for environment in ("development", "staging", "production"):
        found = load_settings(Layers(files=(path,), environment=environment), environ={})
        assert found.vault_url
        assert found.origins["vault_url"] == f"settings.toml [{environment}]"
    assert found.columns["*email*"].strategy == "token"
