"""The JSON schema and the loader are of one mind about random files.

What JSON Schema can't say, and the files drawn here so leave out:

- 7.0 is an integer to it, and to TOML a float.
- Names that differ only in case, and a section's name that is nearly a known one.
- What holds across sections: `[default]` counts in the environment that is selected, and
  `audit_required` in one section is content with an `audit_log` in another.
- A `master_key_name` that some spelling of a setting's name is.
- The groups of an IPv6 address; characters beyond ASCII that do not print; a socket's path counted
  in bytes.
"""

from __future__ import annotations

import importlib.resources
import json
import math
import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from helpers.taplo import needs_taplo, refused_by_taplo
from secureml.errors import ConfigurationError, SecureMLWarning
from secureml.settings import SETTINGS, Layers, json_schema, load_settings
from secureml.settings.rules import CHOICES, KEYS, OPTIONS

SCHEMA = jsonschema.Draft202012Validator(json_schema())

SECTIONS = (
    *("default", "development", "staging", "production", "production-eu", "qa", "0", "a" * 63),
    *("dev", "prod", "stage", "Production", "global", "secureml", "a b", "_a", "a" * 64, "", "é"),
)
PATHS = ("a", "a/b", "a b", "ключ", "...", "a//b", "/a", "a/", "..", "a/ /b", ". ", "a%b", "a\n")
HOSTS = (
    *("h", "vault.example.com", "vault.example.com.", "10.0.0.1", "127.0.0.1", "[::1]", "a_b"),
    *("LOCALHOST", "127.1", "0x7f", "1.2.3.256", "1.2.3.4.", "-a", "a-", "a..b", ".a", "", "é"),
    *("a" * 63, "a" * 64, ".".join(["a" * 62] * 4), ".".join(["a" * 63] * 4), "1a", "a.1", "0xyz"),
)
PORTS = ("", ":8200", ":1", ":00080", ":65535", ":0", ":65536", ":", ":000001", ":x")
TAILS = (
    "",
    "/",
    "//",
    "/a",
    "/a/b/",
    "/v1",
    "/v1/",
    "/v11",
    "/a//b",
    "/..",
    "/a/.",
    "/%41",
    "/a@b",
)
OF_A_FORM = tuple(setting for setting in SETTINGS if setting.check is not None)
RIVALS = tuple(setting for setting in SETTINGS if setting.exclusive)
OF_VENDORS = ("acme:plate/1", "acme:plate/1\n", "acme:plate", "regex:a/1", "Acme:plate/1")
TOKENS = ("hvs.CAESI-x_1", "a b", "a\n", "é", "\x7f", "~!")


class Draw:
    """Random settings files as what TOML makes of them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.one = chance.choice

    def url(self) -> str:
        scheme = self.one(["https://", "https://", "http://", "HTTP://", "ftp://", ""])
        return scheme + self.one(HOSTS) + self.one(PORTS) + self.one(TAILS)

    def address(self) -> str:
        sockets = ("unix:///run/v", "unix://run/v", "unix:///" + "a" * 106, "unix:///" + "a" * 107)
        return self.one(sockets) if self.chance.random() < 0.2 else self.url()

    def text(self, name: str) -> str:
        separator = self.one([",", ", ", " ,", ",,", ",\n"])
        count = self.one([1, 1, 2])
        match name:
            case "vault_url":
                return separator.join(self.address() for _ in range(count))
            case "vault_cluster_hosts":
                return separator.join(self.one(HOSTS) + self.one(PORTS) for _ in range(count))
            case "vault_proxy":
                return self.one(["environment", "environment\n", self.url(), self.url()])
            case "vault_tls_server_name":
                return self.one(HOSTS)
            case "vault_transit_key":
                return self.one(["a", "a.b", "a.", ".a", "a b", "a\n", "-", "_"])
        return self.one([*PATHS, *TOKENS, "", "x\0", "kv", "token", "token\n"])

    def value(self, setting: Any) -> Any:
        if self.chance.random() < 0.1:
            return self.one([True, 1, 1.5, "a", "5", [], {}, ["a"], {"a": 1}, math.nan])
        if setting.name == "columns":
            return self.rules()
        if setting.name == "profiles":
            return {
                self.one(["lab", "x y"]): self.one(
                    [
                        {"columns": self.rules()},
                        {"columns": {}, "domain_prefix": self.one(["lab", "", 1, "a/b"])},
                        {"domain_prefix": "lab"},
                        {},
                        {"columns": {}, "rules": {}},
                        "a",
                    ]
                )
            }
        if setting.name == "run":
            return {self.one(["A", "_b1", "1a", "a-b", ""]): self.one([self.secret(), 1, {}, []])}
        if setting.kind is bool:
            return self.one([True, False])
        if setting.kind is int:
            return self.one([0, 1, 2, -1, 10**9, 10**9 + 1, 10**30])
        if setting.kind is float:
            edges = [0, 0.5, 1, 2.5, -1, -0.0, 1e9, 1e10, 1e300]
            return self.one([*edges, math.inf, -math.inf, math.nan])
        return self.one(setting.allowed) if setting.allowed else self.text(setting.name)

    def secret(self) -> Any:
        text = self.one(PATHS) + self.one(["", "", "#f", "#", "#a#b", "#\n"])
        return self.one([text, text, {"file": text}, {"file": 1}, {"file": text, "mode": "a"}])

    def rules(self) -> Any:
        names = self.chance.sample(["ssn", "*mail*", "Pay[USD]", "a?"], self.one([0, 1, 1, 2]))
        return {name: self.rule() for name in names}

    def rule(self) -> Any:
        if self.chance.random() < 0.05:
            return self.one(["fpe", 1, []])
        rule: dict[str, Any] = {
            "strategy": self.one([*2 * CHOICES["strategy"], "fep", "acme:pin/1", "acme:pin"])
        }
        if self.chance.random() < 0.05:
            del rule["strategy"]
        for key in self.chance.sample([*KEYS, *OPTIONS, "colour"], self.one([0, 0, 1, 2])):
            rule[key] = self.option(key)
        return rule

    def option(self, key: str) -> Any:
        odd = [1, -1, "a", "", True, 1.5, ["a"], [], ["a", 1]]
        if key == "format":
            return self.one(
                ["ssn", "ssn\n", "digits:1", "alphabet:\n", "SSN", "nhs", ":", 1, *OF_VENDORS]
            )
        if key in CHOICES:
            return self.one([*CHOICES[key], *odd])
        return self.one([*([0, 1, 5] if OPTIONS.get(key) == (int,) else ["a"]), *odd])

    def section(self, name: str) -> Any:
        if self.chance.random() < 0.02:
            return self.one([1, "a", []])
        drawn = self.chance.sample(SETTINGS, self.one([0, 1, 1, 2, 3]))
        if self.chance.random() < 0.3:
            drawn.append(self.one(OF_A_FORM))
        if self.chance.random() < 0.1:
            drawn += self.chance.sample(RIVALS, 2)
        section = {setting.name: self.value(setting) for setting in drawn}
        if name == "default":
            for across in ("use_default_fallback", "vault_tls_verify", "vault_url"):
                section.pop(across, None)
        if section.get("audit_required") is True:
            section["audit_log"] = "a"
        if self.chance.random() < 0.05:
            section[self.one(["colour", "Vault_url", "env", "vault_ulr"])] = 1
        return section

    def file(self) -> dict[str, Any]:
        names = list(SECTIONS[:7]) if self.chance.random() < 0.8 else list(SECTIONS)
        return {name: self.section(name) for name in self.chance.sample(names, self.one([1, 1, 2]))}


def toml(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case str():
            return json.dumps(value).replace("\x7f", "\\u007f")
        case float() if not math.isfinite(value):
            return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return json.dumps(value)


def is_loaded(path: Path, document: dict[str, Any]) -> bool:
    """Tell whether the loader takes a file in development and in every environment it has."""
    path.write_text("".join(f"{json.dumps(k)} = {toml(v)}\n" for k, v in document.items()))
    names = [name for name in document if name != "default" and isinstance(document[name], dict)]
    for environment in ["development", *names]:
        try:
            load_settings(Layers(files=(path,), environment=environment), environ={})
        except ConfigurationError:
            return False
    return True


def test_the_schema_allows_what_the_loader_takes_and_nothing_else(
    tmp_path: Path, runs: int, seed: int
) -> None:
    taken = 0
    for number in range(seed, seed + runs):
        document = Draw(random.Random(number)).file()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecureMLWarning)
            loaded = is_loaded(tmp_path / "settings.toml", document)
        assert SCHEMA.is_valid(document) is loaded, f"{number}: {document}"
        taken += loaded
    assert runs // 10 < taken < runs - runs // 10


@pytest.mark.parametrize("section", ["production", "production-eu", "staging", "development"])
def test_the_schema_holds_the_floor(section: str) -> None:
    strict = section in ("production", "production-eu")
    below = section != "development"
    assert SCHEMA.is_valid({section: {"vault_url": "http://10.0.0.1"}}) is not strict
    assert SCHEMA.is_valid({section: {"use_default_fallback": True}}) is not below
    assert SCHEMA.is_valid({section: {"vault_tls_verify": False}}) is not below
    assert SCHEMA.is_valid({section: {"vault_url": "http://127.0.0.1:8200"}})


SHIPPED = importlib.resources.files("secureml.settings") / "settings.schema.json"


def test_the_shipped_schema_is_made_from_the_table_of_settings() -> None:
    remedy = "secureml settings schema > secureml/settings/settings.schema.json"
    made = json.dumps(json_schema(), indent=2) + "\n"
    assert SHIPPED.read_text("utf-8") == made, f"write it anew: {remedy}"


def test_the_shipped_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SHIPPED.read_text("utf-8")))


@needs_taplo
def test_taplo_finds_the_same_files_wrong_by_the_shipped_schema(
    tmp_path: Path, runs: int, seed: int
) -> None:
    wrong = set()
    for number in range(seed, seed + runs):
        document = Draw(random.Random(number)).file()
        name = f"{number}.toml"
        (tmp_path / name).write_text(
            "".join(f"{json.dumps(k)} = {toml(v)}\n" for k, v in document.items())
        )
        if not SCHEMA.is_valid(document):
            wrong.add(name)
    schema = Path(str(SHIPPED)).as_uri()
    assert refused_by_taplo(tmp_path, "--schema", schema) == wrong
    assert runs // 10 < len(wrong) < runs - runs // 10


@needs_taplo
def test_taplo_follows_the_line_that_names_the_schema(tmp_path: Path) -> None:
    shutil.copy(str(SHIPPED), tmp_path)
    line = "#:schema ./settings.schema.json\n"
    (tmp_path / "right.toml").write_text(f"{line}[production]\nvault_auth = 'approle'\n")
    (tmp_path / "wrong.toml").write_text(f"{line}[production]\nvault_auth = 'aprole'\n")
    assert refused_by_taplo(tmp_path) == {"wrong.toml"}
