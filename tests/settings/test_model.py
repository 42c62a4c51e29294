"""A second reading of the documented layers, which the library has to agree with.

The model below is written from the documentation alone: docs/layers.md, docs/configure.md
(sections, environments), docs/vault.md (Vault's own variables), docs/rules.md and
docs/fallbacks.md. It shares no code with the library. ``--model-runs N`` compares so many random
combinations of each kind, and ``--model-seed`` starts elsewhere.
"""

from __future__ import annotations

import json
import os
import random
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from secureml.anonymization.plan import rules_in_force
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    DevelopmentKeyWarning,
    FallbackWarning,
    KeyDisabledError,
    SecretDeletedError,
    SecretError,
    SecureMLError,
    SecureMLWarning,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.key_management import KeyManager
from secureml.secret_types import reveal
from secureml.settings import Layers, load_settings, reference
from secureml.stores.base import Finding, Outcome
from secureml.stores.memory import MemoryStore

BUILT_IN = ("development", "staging", "production")
SPELLINGS = {
    "development": ("development", "dev", "DEV", "Development"),
    "staging": ("staging", "stage", "STAGING", "Stage"),
    "production": ("production", "prod", "PROD", "Production"),
    "production-eu": ("production-eu", "Production-EU"),
}
PATHS = {
    "audit_log",
    "known_keys",
    "vault_ca_cert",
    "vault_client_cert",
    "vault_client_key",
    "vault_jwt_file",
    "vault_password_file",
    "vault_secret_id_file",
    "vault_token_file",
}
SECRETS = ("vault_token", "vault_secret_id", "vault_password", "vault_jwt")
EITHER = tuple((name, f"{name}_file") for name in SECRETS)
ONE_MEANING = (*EITHER, ("vault_client_cert", "vault_client_key"))
OWN_VARIABLES = {
    "ADDR": "vault_url",
    "TOKEN": "vault_token",
    "NAMESPACE": "vault_namespace",
    "CACERT": "vault_ca_cert",
}
TEXTS = {
    "vault_url": ("https://a.example.com", "http://127.0.0.1:8200", "unix:///run/v.sock"),
    "vault_proxy": ("environment", "http://proxy.example.com:3128"),
    "vault_cluster_hosts": ("v1.example.com", "v1.example.com:8200,v2.example.com"),
    "vault_tls_server_name": ("vault.example.com", "127.0.0.1"),
    "vault_max_response_bytes": ("4096", "65536"),
    "vault_username": ("@format {this.x}", "@jinja x", "12e4"),
    "vault_password": ("@format {this.x}", "'quoted'", "0xdeadbeef"),
}
ODD_TEXTS = ("true", "0", "12345678", "0xdeadbeef", "12e4", "None", "k-1", "k_2")
"""Text that a parser would take for something else; each fits every setting of text."""


def table() -> dict[str, dict[str, str]]:
    """Read the reference page's list of settings."""
    rows = {}
    for entry in reference().rstrip("\n").split("\n\n"):
        name, _, facts = entry.split("\n: ")
        _, kind, *others = facts.split("; ")
        [default] = [fact for fact in others if fact.startswith("default ")] or [""]
        rows[name.strip("`")] = {
            "type": kind,
            "default": default.removeprefix("default "),
            "vault": "yes" if "settable in Vault" in others else "no",
        }
    return rows


TABLE = {name: row for name, row in table().items() if row["type"] != "object"}


def choices(name: str) -> list[str]:
    return re.findall("`([^`]+)`", TABLE[name]["type"])


def typed(name: str, text: str) -> Any:
    """Return the value that a text of the reference page or of a variable stands for."""
    kind = TABLE[name]["type"]
    if kind == "boolean":
        return text.lower() in {"true", "1", "yes", "on"}
    if kind == "number":
        return float(text)
    return int(text) if kind == "integer" else text


def default_of(name: str, environment: str | None) -> Any:
    if name == "use_env_fallback":
        return environment in (None, "development", "staging")
    cell = re.match("`([^`]*)`", TABLE[name]["default"])
    return None if cell is None else typed(name, cell[1])


class Draw:
    """Random values of settings, each as text."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def text(self, name: str) -> str:
        kind = TABLE[name]["type"]
        if name in TEXTS:
            return self.chance.choice(TEXTS[name])
        if kind == "boolean":
            return self.chance.choice(["true", "false"])
        if kind == "number":
            return self.chance.choice(["1", "2.5", "60", "300.25"])
        if kind == "integer":
            return self.chance.choice(["1", "2", "4096"])
        if kind.startswith("one of"):
            return self.chance.choice(choices(name))
        if name in PATHS:
            return self.chance.choice(["a.pem", "sub/b.pem", "/etc/c.pem", "~/d.pem", "true"])
        return self.chance.choice(ODD_TEXTS)

    def names(self, most: int, among: list[str]) -> list[str]:
        """Draw names of settings, and of two that mean one thing mostly one."""
        drawn = self.chance.sample(among, self.chance.randint(0, most))
        for pair in EITHER:
            if self.chance.random() < 0.2 and pair[0] in among and not set(pair) & set(drawn):
                drawn.append(self.chance.choice(pair))
            if set(pair) <= set(drawn) and self.chance.random() < 0.95:
                drawn.remove(self.chance.choice(pair))
        return drawn


class Case:
    """One combination of layers, what is in them, and what the documentation says of them.

    Attributes:
        layers: name of the layer and the texts in it, weakest first.
        errors: the settings that the error has to name; empty if there is none.
    """

    def __init__(self, chance: random.Random, folder: Path, home: Path) -> None:
        self.chance, self.folder, self.home = chance, folder, home
        self.draw = Draw(chance)
        self.environment = chance.choice([None, *SPELLINGS])
        self.strict = self.environment not in (None, "development", "staging")
        self.files = {
            name: self.sections(name) for name in ("settings.toml", "settings.local.toml")
        }
        self.host = self.some(5)
        self.record = self.some(4, [n for n, row in TABLE.items() if row["vault"] == "yes"])
        self.variables = self.drawn_variables()
        self.arguments = self.some(5)
        self.layers = list(self.in_force())
        self.errors = set(self.refused())

    def some(self, most: int, among: list[str] | None = None) -> dict[str, str]:
        if self.chance.random() < 0.3:
            return {}
        names = self.draw.names(most, list(TABLE) if among is None else among)
        return {name: self.draw.text(name) for name in names}

    def sections(self, file: str) -> dict[str, dict[str, str]]:
        local = file != "settings.toml"
        names = ["default", *BUILT_IN, *([] if local else ["production-eu"])]
        if self.environment == "production-eu" and not local:
            chosen = self.chance.sample(names[:-1], self.chance.randint(0, 3)) + names[-1:]
        else:
            chosen = self.chance.sample(names, self.chance.randint(0, 4))
        return {name: self.some(6) for name in chosen}

    def drawn_variables(self) -> dict[str, str]:
        variables = {}
        for name, text in self.some(6).items():
            variables[f"SECUREML_{name.upper()}"] = self.chance.choice([text, text, text, ""])
        for prefix in ("VAULT", "BAO"):
            for suffix, name in OWN_VARIABLES.items():
                if self.chance.random() < 0.15:
                    variables[f"{prefix}_{suffix}"] = self.chance.choice([self.draw.text(name), ""])
        return variables

    def in_force(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the layers as docs/layers.md lists them."""
        for file, sections in self.files.items():
            if file == "settings.local.toml" and self.strict:
                continue
            for section in ("default", self.environment):
                if section is not None and section in sections:
                    yield f"{file} [{section}]", sections[section]
        yield "host application", self.host
        segment = f"{self.environment}/" if self.environment else ""
        yield f"Vault {{vault_mount}}/{{vault_path}}/{segment}settings", self.record
        for prefix in ("VAULT", "BAO"):
            for suffix, name in OWN_VARIABLES.items():
                if text := self.variables.get(f"{prefix}_{suffix}"):
                    yield f"{prefix}_{suffix}", {name: text}
        own = {name: self.variables.get(f"SECUREML_{name.upper()}", "") for name in TABLE}
        yield "SECUREML_*", {name: text for name, text in own.items() if text}
        yield "argument", self.arguments

    def value(self, name: str, text: str) -> Any:
        if name not in PATHS:
            return typed(name, text)
        text = text.replace("~", str(self.home), 1) if text.startswith("~/") else text
        return str(self.folder / text)

    def expected(self) -> dict[str, tuple[Any, str]]:
        """Return value and origin of each setting."""
        found = {name: (default_of(name, self.environment), "default") for name in TABLE}
        if self.strict:
            found["use_env_fallback"] = (False, "default [production]")
        for origin, texts in self.layers:
            for pair in ONE_MEANING:
                if set(pair) & set(texts):
                    found |= dict.fromkeys(pair, (None, "default"))
            for name, text in texts.items():
                found[name] = (self.value(name, text), origin.replace("*", name.upper()))
        places = {name: found[name][0] for name in ("vault_mount", "vault_path")}
        return {
            name: (value, origin.format(**places) if origin.startswith("Vault ") else origin)
            for name, (value, origin) in found.items()
        }

    def refused(self) -> Iterator[str]:
        """Yield the settings that the environment does not allow, or that contradict each other."""
        found = self.expected()
        files = [f for name, f in self.files.items() if "local" not in name or not self.strict]
        others = [texts for file in files for texts in file.values()]
        for name, texts in (section for file in files for section in file.items()):
            below = texts.get("use_default_fallback") == "true"
            if below and name not in ("default", "development"):
                yield "use_default_fallback"
            if texts.get("vault_tls_verify") == "false" and name not in ("default", "development"):
                yield "vault_tls_verify"
        for texts in [*others, *(texts for _, texts in self.layers)]:
            yield from (pair[1] for pair in EITHER if set(pair) <= set(texts))
        if found["audit_required"][0] and found["audit_log"][0] is None:
            yield "audit_required"
        if self.environment == "development":
            return
        allowed = self.environment is None and found["use_default_fallback"][1] == "argument"
        if found["use_default_fallback"][0] and not allowed:
            yield "use_default_fallback"
        if not found["vault_tls_verify"][0]:
            yield "vault_tls_verify"

    def load(self) -> Any:
        """Write the layers where the library looks for them, and build its settings."""
        for file, sections in self.files.items():
            text = "".join(
                f"[{section}]\n"
                + "".join(f"{name} = {self.toml(name, t)}\n" for name, t in v.items())
                for section, v in sections.items()
            )
            path = self.folder / file
            path.unlink(missing_ok=True)
            if sections:
                path.write_text(text)
                os.utime(path, (0, 0))  # a file that was written just now is read again later
        environ = {**self.variables, "HOME": str(self.home)}
        spelt = self.chance.choice(SPELLINGS[self.environment]) if self.environment else None
        argument = None
        if spelt and self.chance.random() < 0.5:
            argument = spelt
            environ["SECUREML_ENV"] = self.chance.choice(["staging", "production", ""])
        elif spelt:
            environ["SECUREML_ENV"] = spelt
        host = {
            self.chance.choice([name, name.upper(), name.title()]): self.plain(name, text)
            for name, text in self.host.items()
        }
        arguments = {name: self.plain(name, text) for name, text in self.arguments.items()}
        layers = Layers(environment=argument, host=host or None, arguments=arguments)
        record = {
            name: self.chance.choice([text, self.plain(name, text)])
            for name, text in self.record.items()
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecureMLWarning)
            return load_settings(layers, environ=environ, vault_record=record)

    def plain(self, name: str, text: str) -> Any:
        number = TABLE[name]["type"] == "number" and text.isdigit() and self.chance.random() < 0.5
        return int(text) if number else typed(name, text)

    def toml(self, name: str, text: str) -> str:
        return json.dumps(self.plain(name, text))

    def describe(self) -> str:
        return json.dumps([self.environment, self.files, self.layers], indent=1)


def attempt(build: Callable[[], Any]) -> tuple[Any, str]:
    """Return what is built, or the text of the error."""
    try:
        return build(), ""
    except ConfigurationError as error:
        return None, str(error)


def test_settings_are_those_of_the_documented_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int, seed: int
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    built = refused = 0
    for number in range(seed, seed + runs):
        case = Case(random.Random(number), tmp_path, home)
        settings, problem = attempt(case.load)
        told = f"{number}: {problem}\n{case.describe()}"
        assert bool(problem) is bool(case.errors), f"{case.errors} {told}"
        assert all(name in problem for name in case.errors), told
        refused += bool(problem)
        if problem:
            continue
        for name, (value, origin) in case.expected().items():
            found = reveal(getattr(settings, name)), settings.origins[name]
            assert found == (value, origin), f"{number}: {name}\n{case.describe()}"
        assert settings.environment == case.environment
        built += 1
    assert min(built, refused) > runs // 20


SEEN = ("SSN", "ssn", "Pay[USD]", "PayU", "Zone1", "zone[12]", "work_email", "EMAIL", "Straße", "x")
RULED = (
    *("SSN", "ssn", "Ssn", "Pay[USD]", "pay[usd]", "Zone[12]", "zone?", "STRASSE", "straße"),
    *("*email*", "*EMAIL*", "*", "?", "s*", "S*", "*[*", "*]", "work_*", "[a-z]*", "[!x]"),
)


def fits(pattern: str, text: str) -> bool:
    """Match by the rules of docs/rules.md, one character at a time."""
    if not pattern or not text:
        return pattern.strip("*") == text
    if pattern[0] == "*":
        return fits(pattern[1:], text) or fits(pattern, text[1:])
    return pattern[0] in ("?", text[0]) and fits(pattern[1:], text[1:])


def answers(rules: dict[str, str], column: str) -> set[str | None]:
    """Return the domains of the rules that may hold for a column: one, unless patterns tie."""
    folded = column.casefold()
    if folded in rules:
        return {rules[folded]}
    lengths = {p: len(re.sub("[*?]", "", p)) for p in rules if fits(p, folded)}
    longest = max(lengths.values(), default=0)
    return {rules[p] for p, length in lengths.items() if length == longest} or {None}


def test_columns_have_the_rules_that_the_docs_say(tmp_path: Path, runs: int, seed: int) -> None:
    built = refused = 0
    for number in range(seed, seed + runs):
        chance = random.Random(number)
        environment = chance.choice([None, "development", "production"])
        twice = False
        merged: dict[str, dict[str, str]] = {"": {}, "lab": {}}

        def drawn(layer: str, in_force: bool, chance: random.Random = chance) -> dict[str, Any]:
            nonlocal twice
            content: dict[str, Any] = {"columns": {}, "profiles": {}}
            for profile, so_far in merged.items():  # noqa: B023 - of this round
                names = chance.sample(RULED, chance.randint(0, 4))
                folded = {name.casefold(): f"{layer} {profile}" for name in names}
                table = {
                    name: {"strategy": "token", "domain": f"{layer} {profile}"} for name in names
                }
                if not profile:
                    content["columns"] = table
                elif chance.random() < 0.5:
                    content["profiles"][chance.choice(["lab", "Lab"])] = {"columns": table}
                else:
                    continue
                twice = twice or len(folded) < len(names)
                if in_force:
                    so_far.update(folded)
            return content

        text = ""
        for section in ("default", "development", "production"):
            in_force = section in ("default", environment)
            text += f"[{section}]\n"
            for name, value in drawn(section, in_force).items():
                text += f"{name} = {inline(value)}\n"
        (tmp_path / "settings.toml").write_text(text)
        host, arguments = drawn("host", True), drawn("arguments", True)
        layers = Layers(environment=environment, host=host, arguments=arguments)
        settings, problem = attempt(partial(load_settings, layers, environ={}))
        assert ("differ only in case" in problem) is bool(problem) is twice, f"{number}: {problem}"
        refused += twice
        if twice:
            continue
        built += 1
        for profile in (None, "LAB") if merged["lab"] else (None,):
            expected = merged[""] | (merged["lab"] if profile else {})
            rules = rules_in_force(settings, profile)
            for column in SEEN:
                rule = rules.of(column)
                found = rule.domain if rule else None
                assert found in answers(expected, column), f"{number}: {column!r}\n{text}"
    assert min(built, refused) > runs // 20


def inline(value: Any) -> str:
    """Return a value as TOML writes it in one line."""
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{" + ", ".join(f"{json.dumps(k)} = {inline(v)}" for k, v in value.items()) + "}"


class Reporting(MemoryStore):
    """A store that reports an error in the place of its answer."""

    def __init__(self, finding: Finding, error: SecretError | None) -> None:
        super().__init__()
        self.finding, self.error = finding, error

    def read(self, name: str, version: int | None = None, **_: Any) -> Outcome:
        return Outcome(finding=self.finding, where="Vault", error=self.error)


DOWN = {
    "down": VaultUnavailableError,
    "sealed": VaultSealedError,
}
HARD_ERRORS = {
    "destroyed": SecretDeletedError,
    "disabled": KeyDisabledError,
    "denied": AccessDeniedError,
    "bad token": AuthenticationError,
}


def store_of(said: str, name: str) -> MemoryStore | None:
    """Return a store that says this of a secret."""
    if said == "not configured":
        return None
    if said in DOWN:
        return Reporting(Finding.UNAVAILABLE, DOWN[said]("it is down"))
    if said in ("denied", "bad token"):
        return Reporting(Finding.REFUSED, HARD_ERRORS[said]("it is refused"))
    store = MemoryStore()
    if said != "absent":
        store.write(name, {"value": "of Vault"}, cas=0)
    if said == "destroyed":
        store.destroy(name, 1)
    if said == "disabled":
        store.annotate(name, {"secureml.state.1": "disabled"})
    return store


def test_secrets_come_from_where_the_table_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int, seed: int
) -> None:
    (tmp_path / "settings.toml").write_text("[production-eu]\n")
    (tmp_path / "secret").write_text("of a file\n")
    outcomes = set()
    for number in range(seed, seed + runs):
        chance = random.Random(number)
        said = chance.choice(["present", "absent", "not configured", *DOWN, *HARD_ERRORS])
        environment = chance.choice([None, "development", "staging", "production", "production-eu"])
        name = chance.choice(["api-key", "team/api.key", "master_key"])
        variable = f"SECUREML_{re.sub('[-./]', '_', name).upper()}"
        texts = {variable: chance.choice([None, None, "of a variable"])}
        texts[f"{variable}_FILE"] = chance.choice([None, None, str(tmp_path / "secret")])
        switches = {s: chance.choice([None, True, False]) for s in ("env", "default")}
        by_argument = chance.random() < 0.5
        with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for key, text in texts.items():
                if text is not None:
                    patch.setenv(key, text)
            arguments = {f"use_{s}_fallback": v for s, v in switches.items() if by_argument}
            for s, v in switches.items():
                if v is not None and not by_argument:
                    patch.setenv(f"SECUREML_USE_{s.upper()}_FALLBACK", str(v).lower())
            given = chance.choice([None, "given"])
            try:
                manager = KeyManager(
                    environment=environment, store=store_of(said, name), **arguments
                )
                found: object = manager.get_secret(name, given)
            except SecureMLError as error:
                found = type(error)
            kinds = {type_of.category for type_of in caught}
        expected, warned = answer(said, environment, texts, switches, by_argument, given)
        told = f"{number}: {said}, {environment}, {texts}, {switches}, {by_argument}, {given}"
        if expected == "a default":
            assert isinstance(found, str), told
            assert found not in ("of Vault", "of a variable", "of a file", "given"), told
        else:
            assert found == expected, told
        assert kinds & {FallbackWarning, DevelopmentKeyWarning} == warned, told
        outcomes.add((said, expected))
    assert len(outcomes) > min(runs // 50, 15)


def answer(
    said: str,
    environment: str | None,
    texts: dict[str, str | None],
    switches: dict[str, bool | None],
    by_argument: bool,
    given: str | None,
) -> tuple[object, set[type[Warning]]]:
    """Return what docs/fallbacks.md says: a value or the class of an error, and the warnings."""
    development = environment == "development"
    may_default = development or (environment is None and by_argument)
    if switches["default"] and not may_default:
        return ConfigurationError, set()
    if said == "present":
        return "of Vault", set()
    if said in HARD_ERRORS:
        return HARD_ERRORS[said], set()
    warned: set[type[Warning]] = {FallbackWarning} if said in DOWN else set()
    strict = environment in ("production", "production-eu")
    if not strict if switches["env"] is None else switches["env"]:
        text, file = texts.values()
        if text and file:
            return ConfigurationError, set()
        if text or file:
            return text or "of a file", warned
    if switches["default"]:
        return "a default", warned | {DevelopmentKeyWarning}
    if said in ("absent", "not configured"):
        return given, set()
    return DOWN[said], set()
