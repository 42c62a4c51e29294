"""Whole programs that fail with a key in scope: what they print on the way out."""

from __future__ import annotations

import pytest

PREPARED = """
import hashlib
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

manager = KeyManager(store=MemoryStore(), environment="development")
manager.import_key("k", hashlib.sha256(b"canary").digest())
key = manager.get_key("k")
keys = [key, {"key": key, "material": key.material}]
print("prepared")
"""

TESTS = """
def test_our_error():
    held, material = key, key.material
    manager.derive_key(held, "")

def test_their_error():
    held, material = key, key.material
    print(held, material)
    1 / 0

def test_comparison():
    held = {"key": key}
    assert held == {"key": key.material}

def test_identity():
    assert key is None and keys

def test_containment():
    assert key in ["k", *[each for each in keys[1].values() if each is not key]]

def test_table():
    import pandas as pd
    from secureml import anonymize
    frame = pd.DataFrame({"a": ["1"]})
    frame.attrs["key"] = key
    anonymize(frame, sensitive_columns=["a"], master_key_name="k", key_manager=manager)

def test_logged():
    import logging
    logging.getLogger("app").error("key %r", key, extra={"key": key})
    raise KeyError(key)
"""

PROGRAMS = {
    "an error at the top": "manager.derive_key(key, '')",
    "an error with the key": "raise ValueError(key, key.material)",
    "rich": """
import rich.traceback
rich.traceback.install(show_locals=True, locals_hide_dunder=False, width=300)
def work(held, material):
    manager.derive_key(held, "")
work(key, key.material)
""",
    "faulthandler": """
import faulthandler, os, signal
faulthandler.enable(all_threads=True)
def work(held):
    os.kill(os.getpid(), signal.SIGABRT)
work(key)
""",
    "a thread": """
import threading
thread = threading.Thread(target=lambda held: manager.derive_key(held, ""), args=(key,))
thread.start(); thread.join(); raise SystemExit(1)
""",
    "an error while the interpreter ends": """
class Holder:
    def __init__(self, held): self.held = held
    def __del__(self): raise ValueError(self.held)
holder = Holder(key)
del holder
raise SystemExit(1)
""",
    "a process that is spawned": """
import multiprocessing
multiprocessing.get_context("spawn").Process(target=print, args=(key,)).start()
""",
    "an exit code": "raise SystemExit(key)",
    "a failed assertion": "assert not key, key",
    "warnings as errors": """
import warnings
warnings.simplefilter("error")
warnings.warn(UserWarning(key, [key.material]))
""",
    "the module's variables": """
import pprint
pprint.pprint({name: value for name, value in globals().items()})
raise SystemExit(1)
""",
    "an import profile": """
import cProfile
cProfile.run("manager.derive_key(key, 'p'); manager.get_key('k')")
raise SystemExit(1)
""",
    "a trace of each line": """
import sys
def trace(frame, event, argument):
    if event == "exception":
        print(frame.f_locals, argument)
    return trace
sys.settrace(trace)
manager.derive_key(key, "")
""",
}


@pytest.mark.parametrize("options", [["--tb=long"], ["--tb=short", "-vv"], ["--tb=auto", "-rA"]])
def test_pytest_shows_no_key(run_python, leaks, tmp_path, options):
    file = tmp_path / "test_inner.py"
    file.write_text(PREPARED + TESTS)
    run = run_python("-m", "pytest", "--showlocals", "-p", "no:cacheprovider", *options, str(file))
    assert "7 failed" in run.stdout
    assert "held" in run.stdout
    assert not leaks(run.stdout + run.stderr)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_failing_program_shows_no_key(run_python, leaks, tmp_path, program):
    file = tmp_path / "program.py"
    file.write_text(PREPARED + program)
    run = run_python(str(file))
    assert run.returncode != 0
    assert run.stdout.startswith("prepared")
    assert len(run.stdout + run.stderr) > len("prepared\n")
    assert not leaks(run.stdout + run.stderr)


def test_the_prepared_key_is_the_one_that_is_looked_for(run_python, leaks, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(PREPARED + "print(key.reveal())")
    assert leaks(run_python(str(file)).stdout)


def test_a_leak_in_an_inner_test_is_seen(run_python, leaks, tmp_path):
    file = tmp_path / "test_inner.py"
    file.write_text(PREPARED + "\ndef test():\n    held = key.reveal()\n    assert 0\n")
    run = run_python("-m", "pytest", "--showlocals", "-p", "no:cacheprovider", str(file))
    assert leaks(run.stdout)
