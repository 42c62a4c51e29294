"""The fuzz run, for some seconds: whatever is thrown, values come back or are reported."""

from __future__ import annotations

from pathlib import Path

FUZZ = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


def test_nothing_surprises(run_python):
    done = run_python(str(FUZZ), "--inputs", "1000", "--seed", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("1,000 inputs in ")
    for target in ("column", "manifest", "table", "tampered"):
        assert f"  {target:9} refused" in done.stdout
        assert target == "manifest" or f"  {target:9} recovered" in done.stdout
    assert done.stdout.endswith("surprises: 0\n")


def test_no_answer_of_vault_surprises_or_is_shown(run_python):
    arguments = ("--target", "answers", "--inputs", "100", "--seed", "0")
    done = run_python(str(FUZZ), *arguments, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("100 inputs in ")
    assert "  answer    refused" in done.stdout
    assert "  answer    recovered" in done.stdout


def test_an_answer_that_breaks_or_is_shown_is_found(run_python):
    broken = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import fuzz\n"
        "from secureml.errors import MalformedAnswerError\n"
        "from secureml.vault.client.answers import Members\n"
        "Members.labels = lambda self, name: dict(self._members.get(name) or {})\n"
        "Members.malformed = lambda self, _: MalformedAnswerError(repr(self._members))\n"
        "raise SystemExit(fuzz.main(['--target', 'answers', '--inputs', '200']))\n"
    )
    done = run_python("-c", broken, str(FUZZ.parent), timeout=600)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Leak: " in done.stdout
    assert "TypeError" in done.stdout or "ValueError" in done.stdout


def test_the_fuzzer_finds_a_lost_value(run_python):
    broken = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import fuzz, numpy as np\n"
        "from secureml.pseudonymization.strategies.fpe import Fpe\n"
        "recover = Fpe.recover\n"
        "def lossy(self, values, kind):\n"
        "    return recover(self, values, kind).replaced(np.array([0]), ['?'])\n"
        "Fpe.recover = lossy\n"
        "raise SystemExit(fuzz.main(['--inputs', '200']))\n"
    )
    done = run_python("-c", broken, str(FUZZ.parent))
    assert done.returncode == 1
    assert "Surprise" in done.stdout
    assert "surprises: 0" not in done.stdout


def test_no_bytes_of_a_file_surprise(run_python):
    arguments = ("--target", "files", "--inputs", "200", "--seed", "0")
    done = run_python(str(FUZZ), *arguments, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("200 inputs in ")
    assert "  file      refused" in done.stdout
    assert "  file      recovered" in done.stdout
