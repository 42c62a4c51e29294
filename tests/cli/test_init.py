"""``secureml init``: what a project begins with, and that nothing which is there is lost."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from helpers.commands import in_process, secureml_command
from helpers.taplo import needs_taplo, refused_by_taplo
from secureml.settings import ENVIRONMENTS, Layers, json_schema, load_settings
from secureml.settings.schema import LOGIN_METHODS

URL = "https://vault.example.com:8200"
CTRL_C = b"\x03"
NEW = {".gitignore", "settings.schema.json", "settings.toml"}


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def loaded(path: Path, environment: str | None):
    return load_settings(Layers(files=(path,), environment=environment), environ={})


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    pd.DataFrame(
        {
            "Work E-Mail": [f"user{number}@example.com" for number in range(50)],
            "ssn": [f"{number:03d}-12-3456" for number in range(101, 151)],
            "amount": range(50),
        }
    ).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("url", [(), ("--vault-url", URL)], ids=["no Vault", "Vault"])
@pytest.mark.parametrize("method", LOGIN_METHODS)
def test_the_file_is_valid_in_each_environment_and_its_commented_lines_too(
    run, tmp_path, method, url
):
    ran = run("init", "--vault-auth", method, "--key-name", "team/key", *url)
    assert (ran.code, ran.err) == (0, "")
    assert names(tmp_path) == NEW
    path = tmp_path / "settings.toml"
    for environment in (None, *ENVIRONMENTS):
        assert loaded(path, environment).master_key_name == "team/key"
    assert loaded(path, "production").vault_auth == method
    assert loaded(path, "production").vault_url == (URL if url else None)
    assert loaded(path, "development").vault_url is None
    with_comments = re.sub(r"^# (?=\w+ = |\[)", "", path.read_text(), flags=re.MULTILINE)
    assert "# vault_" not in with_comments
    path.write_text(with_comments)
    for environment in ENVIRONMENTS:
        assert loaded(path, environment).vault_url


def test_the_schema_is_beside_the_file_and_named_in_its_first_line(run, tmp_path):
    assert run("init").code == 0
    first = (tmp_path / "settings.toml").read_text().split("\n")[0]
    name = first.removeprefix("#:schema ./")
    assert json.loads((tmp_path / name).read_text()) == json_schema()


@needs_taplo
def test_taplo_takes_the_file_by_that_schema_and_finds_a_slip(run, tmp_path, people):
    assert run("init", people, "--vault-url", URL, "--vault-auth", "approle").code == 0
    assert refused_by_taplo(tmp_path) == set()
    path = tmp_path / "settings.toml"
    path.write_text(path.read_text().replace('"approle"', '"aprole"'))
    assert refused_by_taplo(tmp_path) == {"settings.toml"}


def test_with_a_file_it_has_rules_and_the_command_that_it_tells_works(run, tmp_path, people):
    ran = run("init", people.name)
    assert "rules for: Work E-Mail, ssn; read them" in ran.out
    columns = loaded(tmp_path / "settings.toml", None).columns
    assert columns["ssn"].format == "ssn"
    assert columns["work e-mail"].domain == "email"
    text = (tmp_path / "settings.toml").read_text()
    assert "# e-mail address: the name 'Work E-Mail' and 100.0% of 50 values: an e-mail" in text
    assert "user1@" not in text
    told = re.search(r"next:\n  secureml (.+)\n", ran.out)[1]
    assert told == "anonymize people.csv -o hidden-people.csv --env development"
    assert run(*shlex.split(told)).code == 0
    hidden = pd.read_csv(tmp_path / "hidden-people.csv")
    assert not set(hidden["ssn"]) & set(pd.read_csv(people)["ssn"])


def test_for_an_environment_without_public_keys_a_key_is_to_be_made_first(run, people):
    ran = run("init", people.name, "--env", "prod")
    assert ran.out.split("next, once Vault can be reached:\n")[1] == (
        "  secureml keys generate-key --env production\n"
        "  secureml anonymize people.csv -o hidden-people.csv --env production\n"
        "in CI:\n  secureml settings validate\n"
    )


def test_what_a_file_needs_to_be_read_is_in_the_command_that_it_tells(run, tmp_path):
    (tmp_path / "a b.csv").write_bytes(
        "1;M\xfcller;123-45-6789\n2;Beno\xeet;219-09-9999\n".encode("cp1252")
    )
    ran = run("init", "a b.csv", "--encoding", "cp1252", "--no-header", "--delimiter", ";")
    told = re.search(r"next:\n  secureml (.+)\n", ran.out)[1]
    assert "--no-header" in told
    assert run(*shlex.split(told)).code == 0


@pytest.mark.parametrize(
    "column", ['ssn "x"', "ssn.of [you]", "ssn\nvault_url = 1", "ssn é\u202e", "ssn \\ #", "'ssn'"]
)
def test_the_name_of_a_column_stays_a_name(run, tmp_path, column):
    table = pd.DataFrame({column: [f"{number:03d}-12-3456" for number in range(101, 151)]})
    table.to_parquet(tmp_path / "odd.parquet")
    assert run("init", "odd.parquet").code == 0
    path = tmp_path / "settings.toml"
    assert list(loaded(path, "production").columns) == [column]


def test_columns_that_differ_only_in_case_have_one_rule(run, tmp_path, people):
    table = pd.read_csv(people)[["ssn"]]
    table.assign(SSN=table["ssn"]).to_csv(people, index=False)
    assert run("init", people).code == 0
    assert list(loaded(tmp_path / "settings.toml", None).columns) == ["ssn"]


def test_a_file_without_personal_data_gives_no_rules(run, tmp_path):
    (tmp_path / "numbers.csv").write_text("amount\n1\n2\n")
    ran = run("init", "numbers.csv")
    assert ran.code == 0
    assert "secureml scan FILE --write" in ran.out
    assert not loaded(tmp_path / "settings.toml", None).columns


@pytest.mark.parametrize("kind", ["file", "empty file", "folder", "link", "dangling link"])
def test_a_settings_file_that_is_there_is_refused_whatever_it_is(run, tmp_path, kind):
    path = tmp_path / "settings.toml"
    target = tmp_path / "other.toml"
    match kind:
        case "file":
            path.write_text("[default]\n")
        case "empty file":
            path.touch()
        case "folder":
            path.mkdir()
        case "link":
            target.write_text("[default]\n")
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(target)
    before = names(tmp_path)
    ran = run("init")
    assert (ran.code, ran.out) == (1, "")
    assert f"{path} is there already, and stays as it is" in ran.err
    assert names(tmp_path) == before
    assert kind != "file" or path.read_text() == "[default]\n"


def test_a_schema_file_that_is_there_stays_as_it_is(run, tmp_path):
    (tmp_path / "settings.schema.json").write_text("mine")
    assert run("init").code == 0
    assert (tmp_path / "settings.schema.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"settings.local.toml\n.secureml/\n"),
        (b"", b"settings.local.toml\n.secureml/\n"),
        (b"*.pyc", b"*.pyc\nsettings.local.toml\n.secureml/\n"),
        (b"*.pyc\r\n", b"*.pyc\r\nsettings.local.toml\r\n.secureml/\r\n"),
        (b"*.pyc\r\ndist", b"*.pyc\r\ndist\r\nsettings.local.toml\r\n.secureml/\r\n"),
        (b"\xff\xfe\n", b"\xff\xfe\nsettings.local.toml\n.secureml/\n"),
        (
            b"# settings.local.toml\n.secureml/\n",
            b"# settings.local.toml\n.secureml/\nsettings.local.toml\n",
        ),
        (b"\xef\xbb\xbf/.secureml/\n  settings.local.toml", None),
    ],
)
def test_gitignore_gets_the_lines_that_it_lacks_and_keeps_the_others(run, tmp_path, before, after):
    path = tmp_path / ".gitignore"
    if before is not None:
        path.write_bytes(before)
        path.chmod(0o640)
    assert run("init").code == 0
    assert path.read_bytes() == (before if after is None else after)
    assert before is None or path.stat().st_mode & 0o777 == 0o640


def test_a_gitignore_that_is_huge_or_a_link_is_kept(run, tmp_path):
    target = tmp_path / "ignored"
    target.write_bytes(b"x" * 5_000_000)
    (tmp_path / ".gitignore").symlink_to(target)
    assert run("init").code == 0
    assert (tmp_path / ".gitignore").is_symlink()
    assert target.read_bytes() == b"x" * 5_000_000 + b"\nsettings.local.toml\n.secureml/\n"


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_gitignore_that_is_no_file_stops_it_before_anything_is_written(run, tmp_path, kind):
    path = tmp_path / ".gitignore"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    ran = run("init")
    assert (ran.code, ran.out) == (1, "")
    assert f"{path} is a {kind}" in ran.err
    assert names(tmp_path) == {".gitignore"}


@pytest.mark.parametrize(
    ("name", "content"),
    [("missing.csv", None), ("empty.csv", b""), ("broken.parquet", b"PAR1 and no more")],
)
def test_a_file_that_is_no_table_stops_it_before_anything_is_written(run, tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    before = names(tmp_path)
    ran = run("init", name)
    assert ran.code > 0
    assert name in ran.err
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--vault-url", "http://vault.example.com"), "--vault-url: vault_url can't be plain http"),
        (("--vault-url", "https://me:pass-word@vault"), "vault_url must not hold a user name"),
        (("--vault-auth", "aprole"), "--vault-auth: vault_auth must be one of: token, "),
        (("--key-name", "../key"), "--key-name: master_key_name must not hold"),
        (("--key-name", "production/key"), "lies in an environment's folder"),
        (("--key-name", ""), "master_key_name is empty"),
        (("--env", "prodution"), "did you mean 'production'?"),
    ],
)
def test_an_option_that_no_environment_takes_is_wrong_usage(run, tmp_path, options, said):
    ran = run("init", *options)
    assert (ran.code, ran.out) == (2, "")
    assert said in " ".join(ran.err.split())
    assert "pass-word" not in ran.err
    assert names(tmp_path) == set()


def test_it_tells_which_settings_file_counts(run, tmp_path, monkeypatch):
    outer = tmp_path / "settings.toml"
    outer.write_text("[default]\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    assert f"note: {outer} is not read any more in this folder and below" in run("init").err
    (inner / "settings.toml").unlink()
    monkeypatch.setenv("SECUREML_SETTINGS_FILE", str(outer))
    ran = run("init")
    assert f"warning: SECUREML_SETTINGS_FILE names {outer}, which is read in place" in ran.err


@pytest.mark.skipif(shutil.which("git") is None, reason="takes git")
def test_it_warns_if_git_would_take_a_private_file(run, tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert run("init").err == ""
    (tmp_path / "settings.toml").unlink()
    (tmp_path / ".gitignore").write_text(".secureml/\nsettings.local.toml\n!settings.local.toml\n")
    assert run("init").err == "warning: git does not ignore settings.local.toml; see .gitignore\n"


def test_without_a_terminal_nothing_is_asked(tmp_path):
    ran = in_process(*secureml_command(), "init", data=b"https://never.example.com\n")
    assert (ran.code, ran.err) == (0, "")
    assert "never" not in (tmp_path / "settings.toml").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
class TestAtATerminal:
    @pytest.fixture
    def typed(
        self, start: Callable[..., subprocess.Popen[bytes]]
    ) -> Callable[..., tuple[int, str]]:
        """Run init on a terminal, give each answer when it asks, return code and what was said."""

        def typed(*arguments: str, answers: tuple[bytes, ...]) -> tuple[int, str]:
            import pty

            ours, theirs = pty.openpty()
            process = start(
                "init",
                *arguments,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
            os.close(theirs)
            said = b""
            waiting = list(answers)
            while True:
                # A signal just before the terminal is read goes unnoticed until the next key.
                broken_off = CTRL_C in answers and not waiting
                while not select.select([ours], [], [], 2 if broken_off else 60)[0]:
                    assert broken_off, said
                    process.send_signal(signal.SIGINT)
                try:
                    piece = os.read(ours, 1000)
                except OSError:  # how the end of a terminal shows
                    break
                if not piece:
                    break
                said += piece
                if waiting and said.endswith((b": ", b"]: ")):
                    answer = waiting.pop(0)
                    if answer == CTRL_C:
                        process.send_signal(signal.SIGINT)  # as it has no terminal of its own
                    else:
                        os.write(ours, answer)
            os.close(ours)
            assert not waiting
            return process.wait(60), said.decode()

        return typed

    def test_it_asks_three_questions(self, typed, tmp_path):
        code, said = typed(answers=(URL.encode() + b"/\n", b"kubernetes\n", b"team/key\n"))
        assert code == 0
        assert [said.count(part) for part in ("Address of", "How programs", "Name of")] == [1, 1, 1]
        settings = loaded(tmp_path / "settings.toml", "production")
        assert settings.vault_url == URL
        assert settings.vault_auth == "kubernetes"
        assert settings.master_key_name == "team/key"

    def test_empty_lines_stand_for_the_defaults(self, typed, tmp_path):
        assert typed(answers=(b"\n", b"\n", b"\n"))[0] == 0
        text = (tmp_path / "settings.toml").read_text()
        assert loaded(tmp_path / "settings.toml", "production").vault_url is None
        assert 'master_key_name = "master_key"' in text
        assert '\nvault_auth = "token"' in text

    def test_a_wrong_answer_is_asked_again(self, typed, tmp_path):
        code, said = typed(
            answers=(b"vault.example.com\n", b"\n", b"aprole\n", b"approle\n", b"a//b\n", b"\n")
        )
        assert code == 0
        assert "Error: vault_url must begin with http:// or https://" in said
        assert "Error: vault_auth must be one of: token, " in said
        assert "Error: master_key_name must not hold" in said
        assert loaded(tmp_path / "settings.toml", "production").vault_auth == "approle"

    def test_what_an_option_says_is_not_asked(self, typed):
        code, said = typed("--vault-url", "", "--key-name", "k", answers=(b"cert\n",))
        assert code == 0
        assert "Address" not in said
        assert "Name of" not in said

    def test_yes_asks_nothing(self, typed, tmp_path):
        code, said = typed("--yes", answers=())
        assert code == 0
        assert "Address" not in said
        assert names(tmp_path) == NEW

    @pytest.mark.parametrize("key", [CTRL_C, b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
    def test_a_question_that_is_broken_off_leaves_nothing(self, typed, tmp_path, key):
        code, said = typed(answers=(b"\n", key))
        assert code == 130
        assert "interrupted" in said
        assert "Traceback" not in said
        assert names(tmp_path) == set()
