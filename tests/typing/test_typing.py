"""A user's typed program passes the type checkers, and uses all that is public."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import secureml
from secureml import KeyManager
from secureml.errors import MissingExtraError

SAMPLE = Path(__file__).with_name("sample.py")
INTERNAL = {"derive_own_key", "watch_with", "close"}
"""Methods for other parts of secureml, and one that ``with`` calls."""

# Pyright reads settings from a file alone; without one it is basedpyright's own mode.
PYRIGHT = json.dumps({"typeCheckingMode": "standard"})

CHECKERS = {
    "mypy": ["mypy", "--strict", "--config-file=", "--cache-dir=cache"],
    "pyright": ["basedpyright", "--pythonpath", sys.executable],
}


PUBLIC = [
    "secureml",
    *("secureml.errors", "secureml.key_management", "secureml.settings", "secureml.stores"),
    *("secureml.files", "secureml.dynaconf", "secureml.testing", "secureml.scanning"),
    *("secureml.duckdb", "secureml.polars", "secureml.postgres", "secureml.spark"),
    "secureml.pseudonymization.formats.base",
    "secureml.pseudonymization.strategies.base",
]
"""The modules that programs and plug-ins import."""


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_typed_program_passes(checker, tmp_path):
    shutil.copy(SAMPLE, tmp_path)
    tmp_path.joinpath("pyrightconfig.json").write_text(PYRIGHT)
    command = Path(sys.executable).with_name(CHECKERS[checker][0])
    checked = subprocess.run(
        [command, *CHECKERS[checker][1:], "sample.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_wrong_use_is_found(tmp_path):
    """What passes above is read with the package's types, not as Any."""
    tmp_path.joinpath("wrong.py").write_text(
        "from secureml import AsyncKeyManager, KeyManager\n"
        "KeyManager().get_key(versoin=1)\n"
        "AsyncKeyManager().get_key(versoin=1)\n"
    )
    command = Path(sys.executable).with_name("basedpyright")
    tmp_path.joinpath("pyrightconfig.json").write_text(PYRIGHT)
    checked = subprocess.run(
        [command, "--pythonpath", sys.executable, "wrong.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert checked.stdout.count('No parameter named "versoin"') == 2, checked.stdout


def test_every_public_symbol_has_a_type_that_needs_no_inference(tmp_path):
    command = Path(sys.executable).with_name("basedpyright")
    path = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    checked = subprocess.run(
        [command, "--verifytypes", "secureml", "--ignoreexternal", "--outputjson"],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},  # the packages of the first Python on it are read
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert checked.stdout, checked.stderr
    symbols = json.loads(checked.stdout)["typeCompleteness"]["symbols"]
    names = public_names()
    public = [
        symbol
        for symbol in symbols
        if any(f"{symbol['name']}.".startswith(f"{name}.") for name in names)
    ]
    assert len(public) > 600
    untyped = [
        (symbol["name"], [problem["message"] for problem in symbol["diagnostics"]])
        for symbol in public
        if not symbol["isTypeKnown"]
    ]
    assert untyped == []


def public_names():
    """Return what the public modules export, by where it is defined."""
    names = set()
    for module in PUBLIC:
        try:
            loaded = importlib.import_module(module)
        except MissingExtraError:
            continue
        for name in loaded.__all__:
            found = getattr(loaded, name)
            place = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
            names.add(".".join(place) if all(place) else f"{module}.{name}")
    return names


def test_the_program_uses_every_public_name_and_method():
    text = SAMPLE.read_text(encoding="utf-8")
    methods = {
        name
        for name, _ in inspect.getmembers(KeyManager, inspect.isfunction)
        if not name.startswith("_")
    }
    used = {*re.findall(r"\w+", text)}
    assert not set(secureml.__all__) - used
    assert not {name for name in methods - INTERNAL if f".{name}(" not in text}
