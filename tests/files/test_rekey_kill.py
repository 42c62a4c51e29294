"""``secureml rekey`` is killed again and again, against a real server; in full a hundred times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("kill_at_random.py")


@pytest.mark.timeout(1300)
def test_kills_at_random_moments_lose_no_row(
    vault: Any,
    run_python: Callable[..., CompletedProcess[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    thorough: bool,
) -> None:
    rows, kills, ends = (1_000_000, 100, 4) if thorough else (200_000, 20, 1)
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")
    done = run_python(str(SCRIPT), str(tmp_path), str(rows), str(kills), timeout=1200)
    assert done.returncode == 0, done.stderr
    killed, ended, first, last, whole = map(float, done.stdout.split())
    assert killed == kills
    # They are spread over all of the work, and between them it came to its end.
    assert ended >= ends
    assert first < 0.2 * whole
    assert last > 0.8 * whole
