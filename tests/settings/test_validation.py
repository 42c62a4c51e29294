from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from secureml.errors import ConfigurationError, IgnoredSettingWarning
from secureml.settings import ENVIRONMENTS, Layers, Validation, load_settings, validate

Write = Callable[..., Path]


def validated(environment: str | None = None, **environ: str) -> Validation:
    return validate(Layers(environment=environment), environ)


def told(found: Validation) -> list[tuple[int | None, str | None, str]]:
    """Line, section and sentence of each problem."""
    return [
        (problem.line, problem.place.section if problem.place else None, problem.sentence)
        for problem in found.problems
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_problem_has_its_line(write: Write, end: str, mark: str) -> None:
    text = """\
[default]
cache_ttl = -1
vault_tocken = '''
cache_ttl
'''
colour = 1
shape = 2
vault_token = "a"
vault_token_file = "b"

[default.columns]
# ssn
a.strategy = "fep"
ssn = { strategy = "fpe", formt = "ssn" }
[default.profiles.lab]
domain_prefix = ""
[default.profiles.lab2.columns.ssn]
strategy = "fpe"
on_invalid = 1
[default.run]
A = "database#"
B = "ok"
"a b" = "c"
[staging]
vault_url = "https://me:pass-word@vault"
[production]
vault_tls_verify = false
"""
    write(mark + text.replace("\n", end))
    found = validated()
    assert told(found) == [
        (2, "default", "cache_ttl must be 0 or more"),
        (3, "default", "unknown setting 'vault_tocken'; did you mean 'vault_token'?"),
        (6, "default", "unknown setting 'colour'"),
        (7, "default", "unknown setting 'shape'"),
        (8, "default", "vault_token and vault_token_file exclude each other; set one of them"),
        (
            13,
            "default",
            "columns.a: strategy must be one of: fpe, token, hash, mask, redact, null, keep, or "
            "vendor:name/1 of another package; did you mean 'fpe'?",
        ),
        (14, "default", "columns.ssn: unknown key 'formt'; did you mean 'format'?"),
        (16, "default", "profiles.lab.domain_prefix must be text and not empty"),
        (19, "default", "profiles.lab2.columns.ssn: on_invalid must be text and not empty"),
        (21, "default", "run.A names no field behind '#'"),
        (23, "default", "run: a variable has letters of ASCII, digits and '_' alone"),
        (25, "staging", "vault_url must not hold a user name or password"),
        (27, "production", "vault_tls_verify can be false only in development"),
    ]
    assert "pass-word" not in repr(found)


@pytest.mark.parametrize(
    ("content", "line", "sentence"),
    [
        (b"[default]\ncache_ttl = \n", 2, "is not TOML (line 2)"),
        (b"[default]\ncache_ttl = '\xff'\n", 2, "is not UTF-8 (line 2)"),
        (b"\xff\xfe[\0d\0]\0", 1, "is not UTF-8 (line 1)"),
        (b"[default]\na.a.a.a.a.a.a.a.a.a = 1\n", 2, "has a key of more than 8 parts (line 2)"),
        (b"x" * (1 << 20) + b"x", None, "is larger than 1 MiB"),
        (b"[staging]\n\n[prod]\n", 3, "[prod]: write [production]"),
        (b"\ncache_ttl = 1\n", 2, "cache_ttl stands outside a section; put it under [default]"),
        (b"\n\nstaging = 1\n", 3, "staging must be a section; write [staging]"),
        (b"\nDEBUG = 1\nHOST = 2\n", 2, "unknown: 'DEBUG'"),
        (b"[default]\n[default]\n", None, "is not TOML (line 2)"),
    ],
)
def test_a_file_that_is_no_settings_file_is_a_problem_of_its_line(
    write: Write, content: bytes, line: int | None, sentence: str
) -> None:
    path = write(content)
    first = validated().problems[0]
    assert first.place is not None
    assert (first.place.file, first.sentence) == (path, sentence)
    assert first.line == (2 if "(line 2)" in sentence else line)


@pytest.mark.parametrize("kind", ["folder", "none", "link to nothing"])
def test_what_can_not_be_read_is_a_problem_of_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "link to nothing":
        path.symlink_to("nothing")
    found = validate(Layers(files=(path,)), {})
    why = "is not a file" if kind == "folder" else "can't be read (No such file or directory)"
    assert told(found) == [(None, None, why)]


def test_all_environments_of_the_files_are_checked_or_the_one_that_is_selected(
    write: Write,
) -> None:
    write("[default]\nuse_default_fallback = true\n[development]\n[production-eu]\n")
    write("[staging]\n", "settings.local.toml")
    found = validated()
    assert set(found.environments) == {"development", "staging", "production-eu"}
    assert told(found) == [
        (2, "default", "use_default_fallback can't be true in production-eu"),
        (2, "default", "use_default_fallback can't be true in staging"),
    ]
    assert told(validated("development")) == []
    assert told(validated("prod")) == [
        (2, "default", "use_default_fallback can't be true in production")
    ]


def test_files_without_the_section_of_an_environment_are_checked_with_none(write: Write) -> None:
    write("[default]\nmaster_key_name = 'production/k'\n")
    found = validated()
    assert found.environments == (None,)
    assert told(found)[0][:2] == (2, "default")


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    assert validated() == Validation(files=(), environments=(None,), problems=())


def test_an_environment_that_is_misspelt_is_a_problem(write: Write) -> None:
    write("[staging]\n")
    (problem,) = validated("stagin").problems
    assert "did you mean 'staging'?" in problem
    assert problem.line is None


def test_a_local_file_is_checked_where_it_is_read(write: Write) -> None:
    write("[staging]\n[production]\n")
    local = write("[default]\ncache_ttl = 'x'\n", "settings.local.toml")
    with pytest.warns(IgnoredSettingWarning, match="is not read in production"):
        assert told(validated("production")) == []
    assert told(validated("staging")) == [(2, "default", "cache_ttl must be a number, and is text")]
    (problem,) = validate(Layers(files=(local,), environment="production"), {}).problems
    assert problem.sentence.startswith("is a local file, and none is read in production")


def test_variables_count_as_they_are_given(write: Write) -> None:
    write("[staging]\n")
    variables = {"SECUREML_CACHE_TTL": "soon", "SECUREML_ENV": "nonsense"}
    (problem,) = validate(Layers(), variables).problems
    assert problem == "SECUREML_CACHE_TTL: cache_ttl must be a plain number such as 5 or 0.5"
    assert problem.place is not None
    assert (problem.place.file, problem.line) == (None, None)


def test_the_problems_are_those_that_stop_a_program(write: Write) -> None:
    write("[default]\ncolour = 1\n[staging]\nuse_default_fallback = true\ncache_ttl = 'x'\n")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(Layers(environment="staging"))
    parts = [part for problem in caught.value.problems for part in problem.parts or [problem]]
    assert sorted(parts) == sorted(validated("staging").problems)
    again = pickle.loads(pickle.dumps(caught.value)).problems
    assert [part.line for problem in again for part in problem.parts or [problem]] == [2, 5, 4]


def test_a_valid_file_has_no_problem_in_any_environment(write: Write) -> None:
    write("".join(f"[{name}]\nvault_url = 'https://v'\n" for name in ENVIRONMENTS))
    found = validated()
    assert found.problems == ()
    assert found.environments == ENVIRONMENTS
