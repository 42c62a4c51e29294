"""The table ``run``: what it may hold, and how layers add to each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from secureml.errors import ConfigurationError
from secureml.settings import Layers, Settings, load_settings
from secureml.settings.run_secrets import RunSecrets, SecretReference


def load(text: str, environment: str | None = None) -> Settings:
    Path("settings.toml").write_text(text)
    return load_settings(Layers(environment=environment))


def test_a_variable_names_a_secret_a_field_of_one_or_a_file() -> None:
    settings = load(
        '[default.run]\nA = "db/password"\nB = "db#pass#word"\nC = { file = "tls#key" }\n'
    )
    assert dict(settings.run) == {
        "A": SecretReference("db/password"),
        "B": SecretReference("db", "pass#word"),
        "C": SecretReference("tls", "key", as_file=True),
    }
    assert RunSecrets.read(settings.run.document(), "run") == settings.run


def test_a_section_replaces_single_variables_of_a_weaker_one() -> None:
    settings = load('[default.run]\nA = "a"\nB = "b"\n[staging.run]\nB = "c"\n', "staging")
    assert settings.run.document() == {"A": "a", "B": "c"}
    assert ("run", "A, B", settings.origins["run"]) in settings.describe()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('A = "a//hunter22"', "run.A must not hold an empty"),
        ('A = "#hunter22"', "run.A is empty"),
        ('A = "hunter22#"', "run.A names no field behind '#'"),
        ("A = 1", "run.A must name a secret"),
        ('A = { file = "hunter22", mode = 1 }', "run.A must name a secret"),
        ('"hunter22-" = "a"', "run: a variable has letters of ASCII"),
    ],
)
def test_what_names_no_secret_is_an_error_that_does_not_repeat_it(table: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        load(f"[default.run]\n{table}\n")
    assert message in str(failure.value)
    assert "hunter22" not in str(failure.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as failure:
        load('[default.run]\nA = 1\nB = "/"\n')
    assert len(failure.value.problems) == 2
