"""Install the built wheel as the README says, with pip and with poetry, and use it.

python check_install.py POETRY WHEEL
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Nobody listens on this port: that this is reported shows that the extra is there and used.
USE = """
from secureml import KeyManager
from secureml.errors import VaultUnavailableError
try:
    KeyManager(vault_url="http://127.0.0.1:9", vault_token="t").get_secret("api_key")
except VaultUnavailableError as error:
    print("  installed and used:", type(error).__name__)
"""


def main(poetry: Path, wheel: Path) -> None:
    """Do all installs, from the clone too, each in a temporary folder of its own."""
    for package in (wheel, ROOT):
        with tempfile.TemporaryDirectory() as folder:
            with_pip(package, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        with_poetry(poetry, wheel, Path(folder))


def with_pip(package: Path, folder: Path) -> None:
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    run(folder, python, "-m", "pip", "install", "--quiet", f"{package}[vault]")
    check(folder, python)


def with_poetry(poetry: Path, wheel: Path, folder: Path) -> None:
    # For this Python alone, so that nothing is resolved that can't be installed here.
    python = f"--python=~{sys.version_info.major}.{sys.version_info.minor}.0"
    run(folder, poetry, "init", "--no-interaction", "--name=app", python)
    # Poetry would ask for files that not every mirror has; the pages that pip reads are enough.
    run(folder, poetry, "source", "add", "--priority=primary", "index", index_of_pip())
    run(folder, poetry, "add", "--no-interaction", wheel, "-E", "vault")
    check(folder, folder / ".venv" / "bin" / "python")


def index_of_pip() -> str:
    """Where pip looks for packages."""
    chosen = os.environ.get("PIP_INDEX_URL")
    program = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return chosen or subprocess.check_output([sys.executable, "-c", program], text=True).strip()


def check(folder: Path, python: Path) -> None:
    answer = run(folder, python, "-c", USE)
    if "VaultUnavailableError" not in answer:
        raise SystemExit("the installed package did not ask Vault")
    run(folder, python.with_name("secureml"), "--help")


def run(folder: Path, *command: str | Path) -> str:
    print("+", command[0], command[1], flush=True)
    outside = ("POETRY_", "SECUREML_", "VIRTUAL_ENV", "PYTHON")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(outside)
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"POETRY_VIRTUALENVS_IN_PROJECT": "true"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
