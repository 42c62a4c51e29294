"""``keys configure-vault``: what it saves, where, and what it leaves alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

URL = "http://127.0.0.1:8200"
TOKEN = "s.a-token-of-the-test"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def read(path: Path) -> dict:
    return tomllib.loads(path.read_text())


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_documented_lines_work_with_no_variable_exported(installed, private_bao, tmp_path):
    root = private_bao.root_token.reveal()
    make_token(private_bao.url, root, "myroot")
    project = tmp_path / "project"
    project.mkdir()
    os.chdir(project)
    (project / "settings.toml").write_text("[default]\n")
    line = (
        f"keys configure-vault --vault-url {private_bao.url} --vault-token myroot --test-connection"
    )
    configured = installed(*line.split())
    assert configured.code == 0, configured.err
    assert read(project / "settings.local.toml")["default"]["vault_url"] == private_bao.url

    generated = installed("keys", "generate-key", "--key-name", "master_key")
    assert generated.code == 0, generated.err
    got = installed("keys", "get-key", "--key-name", "master_key")
    assert got.code == 0, got.err
    assert len(bytes.fromhex(got.out)) == 32
    for ran in (configured, generated, got):
        assert "myroot" not in ran.out + ran.err


def make_token(url: str, root: str, name: str) -> None:
    import hvac

    client = hvac.Client(url, token=root)
    client.auth.token.create(id=name, policies=["root"])
    client.adapter.close()


def configure_in(vault, *more):
    return (
        *("keys", "configure-vault", "--vault-url", vault.url, "--vault-token", vault.token),
        *(*vault.options, *more),
    )


@pytest.mark.parametrize("environment", [None, "development", "staging", "production"])
def test_commands_after_configure_vault_need_no_option_and_no_variable(
    run, vault, tmp_path, environment
):
    env = ("--env", environment) if environment else ()
    assert run(*configure_in(vault, "--test-connection", *env)).code == 0
    assert run("keys", "generate-key", *env).code == 0
    assert run("keys", "get-key", *env).code == 0
    name = "settings.toml" if environment == "production" else "settings.local.toml"
    section = environment or "default"
    namespace = {"vault_namespace": vault.namespace} if vault.namespace else {}
    assert read(tmp_path / name) == {
        section: {
            "vault_url": vault.url,
            **namespace,
            "vault_token_file": f".secureml/vault-token.{section}",
        }
    }


def test_the_token_lies_in_a_file_for_its_owner_alone(run, tmp_path):
    old = os.umask(0)
    try:
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
    finally:
        os.umask(old)
    assert ran.code == 0
    folder = tmp_path / ".secureml"
    assert mode_of(folder) == 0o700
    assert mode_of(folder / "vault-token.default") == 0o600
    assert (folder / "vault-token.default").read_text().strip() == TOKEN
    assert (folder / ".gitignore").read_text() == "*\n"
    holders = [name for name, content in files_below(tmp_path).items() if TOKEN.encode() in content]
    assert holders == [".secureml/vault-token.default"]
    assert TOKEN not in ran.out + ran.err


def test_a_token_file_that_others_could_read_is_closed(run, tmp_path):
    folder = tmp_path / ".secureml"
    folder.mkdir(mode=0o755)
    (folder / "vault-token.default").write_text("old")
    (folder / "vault-token.default").chmod(0o644)
    assert run("keys", "configure-vault", "--vault-token", TOKEN).code == 0
    assert mode_of(folder) == 0o700
    assert mode_of(folder / "vault-token.default") == 0o600


def test_each_environment_has_a_token_of_its_own(run, tmp_path):
    for environment in ("development", "staging"):
        line = ("configure-vault", "--vault-token", f"token-of-{environment}")
        assert run("keys", *line, "--env", environment).code == 0
    for environment in ("development", "staging"):
        file = tmp_path / ".secureml" / f"vault-token.{environment}"
        assert file.read_text().strip() == f"token-of-{environment}"


def test_two_settings_files_in_one_folder_keep_their_tokens_apart(run, tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text("[default]\n")
        monkeypatch.setenv("SECUREML_SETTINGS_FILE", str(tmp_path / f"{name}.toml"))
        assert run("keys", "configure-vault", "--vault-token", f"token-{name}").code == 0
    saved = read(tmp_path / "one.local.toml")["default"]["vault_token_file"]
    assert (tmp_path / saved).read_text().strip() == "token-one"


def test_configure_vault_saves_beside_the_settings_file_of_the_project(run, tmp_path, monkeypatch):
    (tmp_path / "settings.toml").write_text("[default]\n")
    deep = tmp_path / "src" / "deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    line = ("configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
    assert run("keys", *line, "--env", "dev").code == 0
    assert set(files_below(tmp_path)) == {
        "settings.toml",
        "settings.local.toml",
        ".secureml/.gitignore",
        ".secureml/vault-token.development",
    }
    assert read(tmp_path / "settings.local.toml") == {
        "development": {
            "vault_url": URL,
            "vault_token_file": ".secureml/vault-token.development",
        }
    }
    assert (tmp_path / "settings.toml").read_text() == "[default]\n"


def test_configure_vault_takes_the_environment_of_the_variable(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SECUREML_ENV", "Stage")
    assert run("keys", "configure-vault", "--vault-url", URL).code == 0
    assert read(tmp_path / "settings.local.toml") == {"staging": {"vault_url": URL}}


def test_configure_vault_changes_the_settings_file_of_a_declared_environment(run, tmp_path):
    (tmp_path / "settings.toml").write_text("[default]\n[qa]\n")
    assert run("keys", "configure-vault", "--vault-url", URL, "--env", "qa").code == 0
    # As strict as production, it reads no local file.
    assert not (tmp_path / "settings.local.toml").exists()
    assert read(tmp_path / "settings.toml") == {"default": {}, "qa": {"vault_url": URL}}


def test_configure_vault_changes_the_settings_file_itself_in_production(run, tmp_path):
    (tmp_path / "settings.toml").write_text("# ours\n[production]\ncache_ttl = 60  # short\n")
    (tmp_path / "settings.local.toml").write_text("[default]\n")
    assert run("keys", "configure-vault", "--vault-url", URL, "--env", "prod").code == 0
    assert (tmp_path / "settings.toml").read_text() == (
        f'# ours\n[production]\ncache_ttl = 60  # short\nvault_url = "{URL}"\n'
    )
    assert (tmp_path / "settings.local.toml").read_text() == "[default]\n"


def test_configure_vault_keeps_comments_order_and_mode(run, tmp_path):
    file = tmp_path / "settings.local.toml"
    file.write_text(
        "# mine\n\n[staging]\ncache_ttl = 1.50\n\n"
        '[default]\nvault_url = "http://old:8200"  # the old one\n# a path\n\n'
        "# for development\n[development]\n# nothing yet\n"
    )
    file.chmod(0o640)
    (tmp_path / "settings.toml").write_text("[default]\n")
    line = ("configure-vault", "--vault-url", URL, "--vault-path", "team/app")
    assert run("keys", *line).code == 0
    assert file.read_text() == (
        "# mine\n\n[staging]\ncache_ttl = 1.50\n\n"
        f'[default]\nvault_url = "{URL}"  # the old one\nvault_path = "team/app"\n# a path\n\n'
        "# for development\n[development]\n# nothing yet\n"
    )
    assert mode_of(file) == 0o640


def test_configure_vault_saves_every_setting_of_the_connection(run, tmp_path):
    authority = tmp_path / "certificates" / "ca.pem"
    authority.parent.mkdir()
    authority.write_text("")
    ran = run(
        *("keys", "configure-vault", "--vault-url", URL, "--vault-path", "team/app"),
        *("--vault-mount", "kv", "--vault-namespace", "ns/one"),
        *("--vault-ca-cert", "certificates/ca.pem"),
    )
    assert ran.code == 0
    assert read(tmp_path / "settings.local.toml")["default"] == {
        "vault_url": URL,
        "vault_path": "team/app",
        "vault_mount": "kv",
        "vault_namespace": "ns/one",
        "vault_ca_cert": "certificates/ca.pem",
    }
    shown = run("settings", "show").out
    assert str(authority) in shown


def test_a_token_file_elsewhere_is_named_in_full(run, tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    (tmp_path / "token").write_text(TOKEN)
    assert run("keys", "configure-vault", "--vault-token-file", tmp_path / "token").code == 0
    saved = read(project / "settings.local.toml")["default"]["vault_token_file"]
    assert saved == str(tmp_path / "token")
    assert not (project / ".secureml").exists()


class TestTheToken:
    """The ways to give it."""

    def token_in(self, folder: Path) -> str:
        return (folder / ".secureml" / "vault-token.default").read_text().strip()

    def test_a_token_in_an_option_is_saved_with_a_note(self, run, tmp_path):
        ran = run("keys", "configure-vault", "--vault-token", TOKEN)
        assert "other users of this machine can read" in ran.err
        assert self.token_in(tmp_path) == TOKEN

    def test_a_token_is_read_from_standard_input(self, installed, tmp_path):
        ran = installed("keys", "configure-vault", "--vault-token", "-", data=f"{TOKEN}\n".encode())
        assert ran.code == 0
        assert "other users" not in ran.err
        assert self.token_in(tmp_path) == TOKEN

    def test_a_token_is_taken_from_the_variable(self, run, tmp_path, monkeypatch):
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", TOKEN)
        ran = run("keys", "configure-vault", "--vault-url", URL)
        assert ran.code == 0
        assert ran.err == ""
        assert self.token_in(tmp_path) == TOKEN

    def test_the_option_of_the_token_beats_the_variable_which_is_said_to_win_later(
        self, run, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", "another-token")
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
        assert self.token_in(tmp_path) == TOKEN
        assert "warning: a token file was saved, but SECUREML_VAULT_TOKEN sets" in ran.err
        assert "another-token" not in ran.out + ran.err

    def test_a_named_token_file_is_not_copied(self, run, tmp_path, monkeypatch):
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", "another-token")
        (tmp_path / "mine").write_text(TOKEN)
        ran = run("keys", "configure-vault", "--vault-token-file", "mine")
        assert ran.code == 0
        assert "SECUREML_VAULT_TOKEN" in ran.err
        assert read(tmp_path / "settings.local.toml") == {"default": {"vault_token_file": "mine"}}
        assert not (tmp_path / ".secureml").exists()

    @pytest.mark.parametrize(
        "data", [b"", b"\n", b"two words\n", b"two\nlines\n", b"\xff\xfe\n", "tökén".encode()]
    )
    def test_text_that_is_no_token_is_refused_and_not_shown(self, installed, tmp_path, data):
        ran = installed("keys", "configure-vault", "--vault-token", "-", data=data)
        assert ran.code == 2
        assert ran.err.startswith("error: argument: vault_token ")
        assert "Traceback" not in ran.err
        assert "words" not in ran.err
        assert files_below(tmp_path) == {}

    def test_a_token_and_a_token_file_can_not_both_be_given(self, run, tmp_path):
        (tmp_path / "mine").write_text(TOKEN)
        ran = run("keys", "configure-vault", "--vault-token", "x", "--vault-token-file", "mine")
        assert ran.code == 2
        assert "can't both be given" in ran.err

    def test_a_token_in_the_place_of_a_file_is_not_shown(self, run, tmp_path):
        ran = run("keys", "configure-vault", "--vault-token-file", TOKEN)
        assert ran.code == 2
        assert "--vault-token-file does not name a file" in ran.err
        assert TOKEN not in ran.err
        assert files_below(tmp_path) == {}

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
    def test_a_token_that_is_typed_at_a_terminal_is_not_echoed(self, start, tmp_path):
        import pty

        ours, theirs = pty.openpty()
        process = start(
            *("keys", "configure-vault", "--vault-token", "-"),
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(theirs)
        prompt = b""
        while b"Vault token: " not in prompt:
            prompt += os.read(process.stderr.fileno(), 100)
        os.write(ours, f"{TOKEN}\n".encode())
        shown = process.communicate(timeout=60)[1]
        assert process.returncode == 0
        assert self.token_in(tmp_path) == TOKEN
        assert TOKEN.encode() not in shown + os.read(ours, 10_000)
        os.close(ours)


class TestNothingChanges:
    """An error is found before a file changes."""

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--vault-url", "vault.example.com"),
            ("--vault-url", "http://user:pass@vault.example.com"),
            ("--vault-url", ""),
            ("--vault-path", "a/../b"),
            ("--vault-mount", "/secret"),
            ("--vault-namespace", "a//b"),
            ("--env", "prodution"),
        ],
    )
    def test_nothing_changes_for_a_bad_value(self, run, tmp_path, option, value):
        (tmp_path / "settings.local.toml").write_text("[default]\n# as it was\n")
        before = files_below(tmp_path)
        ran = run("keys", "configure-vault", "--vault-token", TOKEN, option, value)
        assert ran.code == 2
        assert files_below(tmp_path) == before
        assert "pass@" not in ran.err

    @pytest.mark.parametrize("name", ["settings.toml", "settings.local.toml"])
    @pytest.mark.parametrize(
        "content",
        [
            b"[default\n",
            b"[default]\nvault_url = \n",
            b"\xff\xfe\n",
            b"[default]\nvault_mont = 'x'\n",
            b"default = 5\n",
        ],
    )
    def test_nothing_changes_for_a_bad_settings_file(self, run, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
        assert ran.code == 2
        assert files_below(tmp_path) == {name: content}

    def test_nothing_changes_for_a_folder_in_the_place_of_a_file(self, run, tmp_path):
        (tmp_path / "settings.local.toml").mkdir()
        assert run("keys", "configure-vault", "--vault-url", URL).code == 2

    def test_nothing_changes_if_the_folder_for_tokens_can_not_be_made(self, run, tmp_path):
        (tmp_path / ".secureml").write_text("a file")
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
        assert ran.code == 1
        assert ran.err.splitlines()[-1].startswith(f"error: {tmp_path / '.secureml'} can't be")
        assert files_below(tmp_path) == {".secureml": b"a file"}

    def test_nothing_changes_if_the_folder_for_tokens_is_a_link(self, run, tmp_path):
        (tmp_path / "elsewhere").mkdir(mode=0o755)
        (tmp_path / ".secureml").symlink_to("elsewhere")
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
        assert ran.code == 1
        assert "is a link" in ran.err
        assert files_below(tmp_path) == {}
        assert mode_of(tmp_path / "elsewhere") == 0o755

    def test_nothing_changes_if_nothing_is_given(self, run, tmp_path):
        ran = run("keys", "configure-vault")
        assert ran.code == 2
        assert "There is nothing to save" in ran.err
        assert files_below(tmp_path) == {}


class TestWarnings:
    """What keeps the saved settings from being used is said."""

    def test_a_variable_that_wins_is_warned_of(self, run, monkeypatch):
        monkeypatch.setenv("SECUREML_VAULT_URL", "http://other:8200")
        ran = run("keys", "configure-vault", "--vault-url", URL)
        assert ran.code == 0
        assert "warning: vault_url was saved, but SECUREML_VAULT_URL sets it too and wins" in (
            ran.err.splitlines()
        )

    def test_a_token_in_a_variable_is_warned_of(self, run, monkeypatch):
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", "an-older-token")
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
        assert "SECUREML_VAULT_TOKEN sets vault_token and wins" in ran.err
        assert "an-older-token" not in ran.out + ran.err

    def test_a_token_in_a_weaker_file_is_not_warned_of(self, run, tmp_path):
        (tmp_path / "settings.toml").write_text('[default]\nvault_token = "an-older-token"\n')
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
        assert ran.code == 0
        assert "wins" not in ran.err

    def test_a_token_in_the_same_section_is_an_error_and_nothing_is_saved(self, run, tmp_path):
        before = '[production]\nvault_token = "an-older-token"\n'
        (tmp_path / "settings.toml").write_text(before)
        options = ("--vault-url", URL.replace("http:", "https:"), "--vault-token", TOKEN)
        ran = run("keys", "configure-vault", *options, "--env", "production")
        assert ran.code == 2
        assert "[production]: vault_token and vault_token_file exclude each other" in ran.err
        assert (tmp_path / "settings.toml").read_text() == before

    def test_an_address_that_is_still_missing_is_warned_of(self, run):
        assert "vault_url is not set yet" in run("keys", "configure-vault", "--vault-path", "x").err

    def test_a_complete_configuration_causes_no_warning(self, run, tmp_path):
        (tmp_path / "token").write_text(TOKEN)
        (tmp_path / "token").chmod(0o600)
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token-file", "token")
        assert ran.err == ""

    @pytest.mark.parametrize("ignored", [True, False])
    def test_a_local_file_that_git_would_take_is_warned_of(self, run, tmp_path, ignored):
        subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
        if ignored:
            (tmp_path / ".gitignore").write_text("*.local.toml\n")
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
        assert ran.code == 0
        assert ("git does not ignore settings.local.toml" in ran.err) is not ignored
        status = subprocess.run(
            ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "secureml" not in status.stdout

    def test_a_token_file_that_an_older_gitignore_leaves_open_is_warned_of(self, run, tmp_path):
        subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
        (tmp_path / ".gitignore").write_text("*.local.toml\n")
        (tmp_path / ".secureml").mkdir()
        (tmp_path / ".secureml/.gitignore").write_text("*\n!vault-token.*\n")
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
        assert ran.code == 0
        assert "git does not ignore .secureml/vault-token.default; add it" in ran.err

    def test_a_file_that_the_projects_own_git_excludes_is_not_warned_of(self, run, tmp_path):
        subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
        (tmp_path / ".git/info/exclude").write_text("settings.local.toml\n")
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
        assert "git does not ignore" not in ran.err

    @pytest.mark.parametrize("where", ["", "deeper/"])
    def test_nothing_that_somebody_s_repository_names_is_run(
        self, run, tmp_path, monkeypatch, where
    ):
        hook = tmp_path / "hook"
        hook.write_text(f"#!/bin/sh\nenv > {tmp_path}/ran\n")
        hook.chmod(0o755)
        subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
        for name in ("core.fsmonitor", "core.sshCommand", "core.editor", "diff.external"):
            subprocess.run(["git", "-C", str(tmp_path), "config", name, str(hook)], check=True)
        (tmp_path / "tracked").write_text("x")
        subprocess.run(["git", "-C", str(tmp_path), "add", "tracked"], check=True)
        (tmp_path / "ran").unlink(missing_ok=True)
        (tmp_path / where).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / where)
        ran = run("keys", "configure-vault", "--vault-url", URL, "--vault-token", TOKEN)
        assert ran.code == 0
        assert "git does not ignore settings.local.toml" in ran.err
        assert not (tmp_path / "ran").exists()

    def test_git_gets_no_variable_of_ours(self, run, tmp_path, monkeypatch):
        bin = tmp_path / "bin"
        bin.mkdir()
        (bin / "git").write_text(f"#!/bin/sh\nenv > {tmp_path}/ran\nexit 0\n")
        (bin / "git").chmod(0o755)
        (tmp_path / ".git").mkdir()
        monkeypatch.setenv("PATH", f"{bin}:/usr/bin:/bin")
        monkeypatch.setenv("SECUREML_VAULT_TOKEN", TOKEN)
        assert run("keys", "configure-vault", "--vault-url", URL).code == 0
        assert TOKEN not in (tmp_path / "ran").read_text()
        assert "SECUREML" not in (tmp_path / "ran").read_text()
