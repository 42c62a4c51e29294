"""``secureml rekey`` of a million rows is killed a hundred times, against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill_at_random.py")


@pytest.mark.timeout(1300)
def test_a_hundred_kills_lose_no_row(vault, run_python, tmp_path, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    done = run_python(str(SCRIPT), str(tmp_path), "1000000", "100", timeout=1200)
    assert done.returncode == 0, done.stderr
    killed, ended, first, last, whole = map(float, done.stdout.split())
    assert killed == 100
    # They are spread over all of the work, and between them it came to its end.
    assert ended > 3
    assert first < 0.2 * whole
    assert last > 0.8 * whole
