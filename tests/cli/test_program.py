"""What holds for every command: help, exit codes, and what goes to which stream."""

from __future__ import annotations

import subprocess
import warnings

import click
import pytest

from helpers.commands import all_commands
from secureml import __version__, errors
from secureml.cli import main
from secureml.cli.base import exit_code_of


def test_there_are_the_commands_that_are_documented():
    assert {" ".join(path) for path in all_commands()} == {
        "keys configure-vault",
        "keys generate-key",
        "keys get-key",
        "keys import",
        "keys list",
        "keys info",
        "keys history",
        "keys rotate",
        "keys disable",
        "keys enable",
        "keys destroy",
        "keys accept-rollback",
        "keys usage",
        "keys export",
        "keys restore",
        "keys verify-backup",
        "keys check",
        "anonymize",
        "reidentify",
        "rekey",
        "vault bootstrap",
        "vault dev",
        "vault status",
        "settings show",
        "settings schema",
        "settings explain",
        "settings validate",
        "settings diff",
        "scan",
        "init",
        "demo",
        "run",
        "doctor",
        "completion",
    }


@pytest.mark.parametrize("path", all_commands(), ids=" ".join)
def test_every_command_has_help_with_examples_and_takes_env(run, path):
    ran = run(*path, "--help")
    assert ran.code == 0
    assert "--env NAME" in ran.out
    assert f"Examples:\n    secureml {' '.join(path)}" in ran.out


def test_debug_shows_where_an_error_comes_from_and_nothing_else_does(run):
    plain, debug = (
        run("settings", "show", "--env", "x"),
        run("--debug", "settings", "show", "--env", "x"),
    )
    assert "Traceback" not in plain.err
    assert debug.err.startswith("Traceback (most recent call last):\n")
    assert debug.err.endswith(plain.err)
    assert debug.code == plain.code == 2


def test_debug_shows_where_an_argument_is_refused(run, tmp_path):
    (tmp_path / "table.csv").write_text("ssn\n219-09-9999\n")
    wrong = ("anonymize", "table.csv", "-o", "b.csv", "--columns", "snn")
    plain, debug = run(*wrong), run("--debug", *wrong)
    assert "Traceback" not in plain.err
    assert debug.err.startswith("Traceback (most recent call last):\n")
    assert debug.err.endswith(plain.err)
    assert debug.code == plain.code == 2


@pytest.mark.parametrize("path", [(), ("keys",), ("vault",), ("settings",)], ids=" ".join)
def test_every_group_lists_its_commands_without_cutting_their_summaries(run, path):
    ran = run(*path, "--help")
    assert ran.code == 0
    assert "Commands:" in ran.out
    assert "..." not in ran.out.split("Commands:")[1]


@pytest.mark.parametrize("path", all_commands(), ids=" ".join)
def test_a_group_lists_a_command_with_the_first_sentence_of_its_help(run, path):
    group = main
    for name in path[:-1]:
        group = group.get_command(click.Context(group), name)
    summary = group.get_command(click.Context(group), path[-1]).get_short_help_str(200).rstrip(".")
    listed = " ".join(run(*path[:-1], "--help").out.split("Commands:")[1].split())
    assert f"{path[-1]} {summary}" in listed


def test_the_version_is_printed(run):
    assert run("--version").out == f"secureml, version {__version__}\n"


def test_secureml_runs_as_a_program_and_as_a_module(installed, python):
    assert installed("--version").out == f"secureml, version {__version__}\n"
    assert python("-m", "secureml", "keys", "--help").out.startswith("Usage: secureml keys ")


@pytest.mark.parametrize(
    "arguments",
    [
        *("--help", "--version", "keys --help", "vault --help", "settings --help", "demo --help"),
        *("anonymize --help", "reidentify --help", "rekey --help", "scan --help"),
        "init --help",
    ],
)
def test_help_loads_nothing_but_click(python, arguments):
    script = f"""
import sys
from secureml.cli import main
try:
    main({arguments.split()!r})
except SystemExit:
    pass
heavy = "rich hvac requests dynaconf pandas numpy pyarrow cryptography tomlkit".split()
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    assert python("-c", script).err == "[]\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SecureMLError, 1),
        (errors.SecretExistsError, 1),
        (errors.KeyMaterialError, 1),
        (errors.MissingExtraError, 1),
        (errors.PseudonymizationError, 1),
        (errors.ConfigurationError, 2),
        (errors.SecretNotFoundError, 3),
        (errors.SecretDeletedError, 3),
        (errors.AccessDeniedError, 4),
        (errors.AuthenticationError, 4),
        (errors.VaultUnavailableError, 5),
        (errors.VaultSealedError, 5),
        (errors.MalformedAnswerError, 5),
    ],
)
def test_each_error_has_its_exit_code(error, code):
    assert exit_code_of(error("what happened")) == code


def test_an_error_is_a_line_on_standard_error_and_no_traceback(run):
    ran = run("keys", "get-key")
    assert ran.code == 3
    assert ran.out == ""
    assert ran.err.startswith("error: there is no secret 'master_key'; looked in: ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["keys", "get-key", "--env", "prodution"], "did you mean 'production'?"),
        (["settings", "show", "--env", ""], "there is no environment ''"),
        (["keys", "get-key", "--encoding", "binary"], "'binary' is not one of 'hex', 'base64'"),
        (["keys", "get-key", "--lenght", "32"], "--length"),
        (["keys", "get-kye"], "get-kye"),
        (["keys", "get-key", "--key-name", "../other"], "must not hold"),
        (["keys", "generate-key"], "Vault is not configured"),
    ],
)
def test_wrong_usage_and_wrong_settings_exit_with_2(run, arguments, hint):
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert hint in ran.err


def test_an_argument_without_an_option_is_not_repeated(run):
    ran = run("keys", "configure-vault", "--test-connection", "s.a-token-that-lost-its-option")
    assert ran.code == 2
    assert "a-token-that-lost-its-option" not in ran.out + ran.err


def test_every_problem_of_the_settings_is_named(run, tmp_path):
    (tmp_path / "settings.toml").write_text('[default]\nvault_timeout = "x"\nvault_mont = "kv"\n')
    ran = run("settings", "show")
    assert ran.code == 2
    assert ran.err.startswith("error: 2 problems in the settings:")
    assert "vault_timeout must be a number" in ran.err
    assert "did you mean 'vault_mount'" in ran.err


def test_each_warning_of_secureml_is_printed_once_as_a_line(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    (tmp_path / "settings.toml").write_text("[production]\nuse_env_fallback = true\n")
    (tmp_path / "settings.local.toml").write_text("[default]\n")
    ran = run("keys", "get-key", "--env", "prod")
    assert ran.out == "ab" * 32 + "\n"
    lines = [line for line in ran.err.splitlines() if line.startswith("warning: ")]
    assert lines == [f"warning: {tmp_path / 'settings.local.toml'} is not read in production"]


def test_the_warnings_of_the_process_are_as_before_afterwards(run):
    before = warnings.filters[:], warnings.showwarning
    run("settings", "show")
    assert (warnings.filters[:], warnings.showwarning) == before


def test_an_error_of_another_kind_is_a_bug_and_shows(monkeypatch):
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("secureml.cli.settings.show.find", broken)
    with pytest.raises(ZeroDivisionError):
        main(["settings", "show"])


def test_a_reader_that_goes_away_is_no_traceback(start, monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    process = start("keys", "get-key", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    process.wait(60)
    assert "Traceback" not in error
    assert "BrokenPipe" not in error
