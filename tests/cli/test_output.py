"""What is printed: by one module alone, and never with a character that steers a terminal."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

import secureml.cli
from helpers.commands import Ran, Run
from secureml import anonymize
from secureml.cli.output import ask, confirm, progress, show, show_table
from secureml.files import Done

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\x08\u202e\u2066\ud800"
"""Sets a terminal's title, clears it, and has controls of every kind, also a lone surrogate."""
IN_FILES = HOSTILE.replace("\ud800", "")
"""The same for files in UTF-8 and for manifests, which have no lone surrogates."""

STREAMS_OF_PROGRAMS = {"stdout", "stderr"}
FOLDER = Path(secureml.cli.__file__).parent
PRINTERS = {"echo", "secho", "echo_via_pager", "prompt", "confirm", "style", "progressbar"}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}

ON_A_TERMINAL = """
import contextlib, os, pty
from secureml.cli.output import progress, show, show_error
from secureml.files import Done
ours, theirs = pty.openpty()
os.dup2(theirs, 2)
{}
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
os.close(theirs)
with contextlib.suppress(OSError):  # how a terminal ends that nobody writes to any more
    while part := os.read(ours, 65536):
        os.write(1, part)
"""
"""Runs something, and prints what standard error had then, if that is a terminal."""


def steers(text: str) -> list[str]:
    """The characters of a text that a terminal may take for orders, or that reorder a line."""
    return [c for c in text if c not in "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs"}]


def printers_in(module: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and node.id in {"print", "Console"}:
            found.append(node.id)
        if isinstance(node, ast.Attribute) and node.attr in PRINTERS | STREAMS:
            found.append(node.attr)
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {getattr(node, "module", None), *(alias.name for alias in node.names)}
            found += [name for name in modules if name and name.partition(".")[0] == "rich"]
        if isinstance(node, ast.ImportFrom) and node.module in {"click", "sys", "builtins"}:
            found += [alias.name for alias in node.names]
    return found


def test_output_is_the_only_module_of_the_commands_that_prints():
    others = {path.name: printers_in(path) for path in FOLDER.glob("*.py")}
    others |= {str(path): printers_in(path) for path in FOLDER.glob("*/**/*.py")}
    # The output of a program that `run` starts is passed on as it is.
    assert set(others.pop(str(FOLDER / "programs/process.py"))) == STREAMS_OF_PROGRAMS
    assert printers_in(FOLDER / "output.py")
    assert {name: found for name, found in others.items() if found} == {
        "output.py": others["output.py"]
    }


@pytest.mark.parametrize("err", [False, True])
def test_unprintable_characters_are_escaped(capsys, err):
    show(f"a{HOSTILE}b\tc\nd\xa0é", "e", err=err)
    captured = capsys.readouterr()
    printed = captured.err if err else captured.out
    assert printed == (
        "a\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\x7f\\x08\\u202e\\u2066\\ud800b\\tc\\nd\xa0é\ne\n"
    )


def test_characters_that_the_stream_can_not_encode_are_escaped(python):
    script = "from secureml.cli.output import show; show('Łukasz')"
    assert python("-c", script, PYTHONIOENCODING="latin-1", PYTHONUTF8="0").out == "\\u0141ukasz\n"


class TestProgress:
    """Of which nothing goes to standard output."""

    @pytest.fixture
    def seconds(self) -> list[float]:
        """What a clock shows; the last one stays."""
        return [100.0]

    def test_is_a_line_every_five_seconds_in_a_log(self, capsys, seconds):
        with progress("big.csv", clock=lambda: seconds[-1]) as update:
            for number in range(1, 24):
                seconds.append(100.0 + number)
                update(Done(number / 40, rows=number * 1000, bytes=number * 2_000_000))
        assert capsys.readouterr() == (
            "",
            "big.csv: 12%, 5,000 rows, 2.0 MB/s, 0:00:35 left\n"
            "big.csv: 25%, 10,000 rows, 2.0 MB/s, 0:00:30 left\n"
            "big.csv: 38%, 15,000 rows, 2.0 MB/s, 0:00:25 left\n"
            "big.csv: 50%, 20,000 rows, 2.0 MB/s, 0:00:20 left\n",
        )

    def test_tells_the_number_of_the_file(self, capsys, seconds):
        with progress("in/", clock=lambda: seconds[-1]) as update:
            seconds.append(105.0)
            update(Done(0.5, rows=10, bytes=5_000_000, file=3, files=12))
        assert capsys.readouterr().err == (
            "in/: 50%, file 3 of 12, 10 rows, 1.0 MB/s, 0:00:05 left\n"
        )

    def test_tells_no_time_that_is_left_if_nobody_knows_the_end(self, capsys, seconds):
        with progress("-", clock=lambda: seconds[-1]) as update:
            seconds.append(105.0)
            update(Done(0, rows=10, bytes=5_000_000))
        assert capsys.readouterr().err == "-: 10 rows, 1.0 MB/s\n"

    def test_is_nothing_if_it_is_quiet(self, capsys, seconds):
        with progress("big.csv", quiet=True, clock=lambda: seconds[-1]) as update:
            seconds.append(200.0)
            update(Done(0.5, rows=10))
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize("terminal", ["xterm", "dumb"])
    def test_is_a_bar_on_a_terminal_that_can_draw_one(self, python, terminal):
        script = """
with progress("[b]big\x1b.csv" + "x" * 200) as update:
    update(Done(0.25, rows=1234, bytes=5_000_000, file=3, files=12))
"""
        ran = python("-c", ON_A_TERMINAL.format(script), TERM=terminal, COLUMNS="100")
        if terminal == "dumb":
            assert (ran.code, ran.out) == (0, "")
            return
        shown = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", ran.out)
        assert ran.code == 0, ran.err
        assert "[b]big\\x1b.csv" in shown
        assert "file 3 of 12, 1,234 rows, " in shown
        assert " 25%" in shown
        assert "\x1b." not in shown

    def test_leaves_a_line_of_its_own_to_a_warning(self, python):
        script = """
with progress("big.csv") as update:
    update(Done(0.25, rows=1234, bytes=5_000_000))
    show("warning: the key is public", err=True)
"""
        ran = python("-c", ON_A_TERMINAL.format(script), TERM="xterm", COLUMNS="100")
        assert ran.code == 0, ran.err
        assert re.search(r"\x1b\[2Kwarning: the key is public\s*\n", ran.out), ran.out


@pytest.mark.parametrize("width", ["10", "40", "80"])
def test_a_fingerprint_is_never_cut_however_narrow_the_terminal_is(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    rows = [("a_key_with_a_long_name", 12, "0123456789abcdef", "what it is for, at length")]
    show_table(("key", "version", "fingerprint", "purpose"), rows, whole=("fingerprint",))
    printed = capsys.readouterr().out
    assert "0123456789abcdef" in printed
    assert "..." not in printed
    assert "\u2026" not in printed


@pytest.mark.parametrize("question", [ask, confirm])
def test_ctrl_c_at_a_question_is_no_answer(monkeypatch, capsys, question):
    def interrupted(prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("click.termui.visible_prompt_func", interrupted)
    with pytest.raises(KeyboardInterrupt):
        question("Destroy it?")


def test_the_end_of_the_input_answers_a_question_with_no(monkeypatch, capsys):
    def ended(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("click.termui.visible_prompt_func", ended)
    assert not confirm("Destroy it?")


MOUNT = {"path": "secret/", "type": "kv", "options": {"version": "2"}}


class TestNoControlCharacterReaches:
    """Whatever the data holds."""

    @pytest.fixture
    def clean(self, run: Run) -> Callable[..., Ran]:
        """Run a command, and check that none of the characters was printed."""

        def check(*arguments: object, code: int = 0) -> Ran:
            ran = run(*arguments)
            assert steers(ran.out + ran.err) == []
            assert ran.code == code, ran.err
            assert "owned" in ran.out + ran.err
            return ran

        return check

    @pytest.fixture
    def table(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("SECUREML_ENV", "development")
        monkeypatch.setenv("SECUREML_USE_DEFAULT_FALLBACK", "true")
        path = tmp_path / "t.csv"
        rows = "".join(f'"{IN_FILES}{i}",{i}@example.org\n' for i in range(1_000_000, 1_000_050))
        path.write_text(f'"{IN_FILES}\nerror: no","{IN_FILES}email"\n{rows}', encoding="utf-8")
        return path

    @pytest.mark.parametrize("options", [[], ["--json"], ["--write"]])
    def test_from_headers_by_scan(self, clean, table, options):
        ran = clean("scan", table, *options)
        if options == ["--json"]:
            assert json.loads(ran.out)[0]["column"].startswith(IN_FILES)
        assert "\nerror: no" not in ran.out + ran.err

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_from_cells_by_preview(self, clean, table, options):
        name = f"{IN_FILES}\nerror: no"
        clean(
            *("anonymize", table, "--columns", name, "--strategy", "token", "--preview"),
            *options,
        )

    def test_from_names_of_columns_in_errors(self, clean, table):
        clean("anonymize", table, "--columns", f"nothing{IN_FILES}", "--preview", code=2)
        clean("anonymize", table, "--columns", "x", "--format", IN_FILES, "--preview", code=2)

    def test_from_names_of_files(self, clean, tmp_path):
        clean("scan", tmp_path / f"{IN_FILES}.csv".replace("/", ""), code=1)

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_from_manifests_that_nobody_verified(self, clean, tmp_path, monkeypatch, options):
        import pandas as pd

        monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
        frame = pd.DataFrame({"ssn": ["219-09-9999"]})
        document = anonymize(frame, sensitive_columns=["ssn"]).attrs["secureml"]
        document["key"]["name"] = IN_FILES
        document["columns"][IN_FILES] = document["columns"].pop("ssn")
        manifest = tmp_path / "m.json"
        manifest.write_text(json.dumps(document))
        clean("keys", "usage", manifest, *options)

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_from_answers_of_a_server(self, clean, faulty, monkeypatch, options):
        text = IN_FILES + "owned"
        body = {
            "initialized": True,
            "sealed": False,
            "version": "2.0",
            "leader_address": text,
            "ha_enabled": True,
            "data": {"ttl": 5, "policies": [text], "keys": [text], **MOUNT},
        }
        server = faulty(json.dumps(body).encode())
        monkeypatch.setenv("SECUREML_VAULT_URL", server.url)
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", "t")
        clean("vault", "status", *options, code=4)

    def test_from_what_is_at_a_server_by_a_plan(self, clean, vault, monkeypatch):
        monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
        monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace)
        policy = f'# {IN_FILES}owned\npath "a" {{ capabilities = ["read"] }}'
        vault.client().sys.create_or_update_policy("secureml-development-read", policy)
        clean("vault", "bootstrap", "--plan", code=2)

    def test_from_names_of_settings(self, clean, tmp_path):
        name = json.dumps(IN_FILES)
        (tmp_path / "settings.toml").write_text(
            f"[default]\n{name} = 1\nvault_url = {name}\n[default.columns.{name}]\nformat = 1\n",
            encoding="utf-8",
        )
        clean("settings", "show", code=2)

    def test_from_values_of_settings(self, clean, tmp_path):
        name = json.dumps(IN_FILES)
        (tmp_path / "settings.toml").write_text(
            f"[default]\naudit_log = {name}\ncolumns = {{{name} = {{strategy = 'token'}}}}\n",
            encoding="utf-8",
        )
        clean("settings", "show")
        clean("settings", "show", "--json")

    def test_from_the_command_line(self, clean):
        # Click takes what begins with no letter for an option.
        clean(f"x{IN_FILES}", code=2)
        clean("keys", f"x{IN_FILES}", code=2)
        clean("settings", "show", f"--{IN_FILES}", code=2)
        clean("settings", "show", "--env", IN_FILES, code=2)
        clean("keys", "get-key", "--encoding", IN_FILES, code=2)


def test_an_error_is_a_plain_line_in_a_pipe_with_its_code(installed):
    ran = installed("settings", "show", "--env", "nowhere")
    assert ran.code == 2
    assert re.fullmatch(r"error: there is no environment 'nowhere'.* \(SML-100\)\n", ran.err)


def test_an_error_on_a_terminal_has_its_remedy_and_can_not_steer_it(python):
    script = f"show_error('[red]' + {IN_FILES!r} + ' is wrong (SML-100)', 'Correct it.')"
    ran = python("-c", ON_A_TERMINAL.format(script), TERM="xterm", COLUMNS="40")
    assert ran.code == 0, ran.err
    shown = re.sub("\x1b\\[[0-9;]*m", "", ran.out.replace("\r", ""))
    assert shown.startswith("error: [red]\\x1b]0;owned")
    assert shown.endswith(" is wrong (SML-100)\nCorrect it.\n")
    assert steers(shown) == []
