"""The examples, run as scripts as a newcomer would, against the real server where they need one."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest

from helpers.notebooks import execute
from helpers.vault import Vault
from secureml.stores import DevelopmentSource

EXAMPLES = Path(__file__).parents[1] / "examples"
DOCS = EXAMPLES.with_name("docs")
SCRIPTS = ("quickstart.py", "vault.py", "fallbacks.py", "rotation.py", "dynaconf_app.py")
PROGRAMS = ("celery_worker", "django_site", "fastapi_service", "pytest_suite")
OTHERS = ("airflow_dag", "notebook", "other_language", "plugin", "scripts")


@pytest.fixture
def run(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run an example, with more variables."""

    def run(name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = run_python(str(EXAMPLES / "scripts" / name), env=dict(os.environ) | variables)
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def to_vault(vault: Vault) -> dict[str, str]:
    """The variables that lead to the test's Vault."""
    return {
        "SECUREML_VAULT_URL": vault.url,
        "SECUREML_VAULT_TOKEN": vault.token,
        "SECUREML_VAULT_NAMESPACE": vault.namespace or "",
    }


def test_every_example_has_a_folder_and_a_readme_and_is_tested():
    folders = {folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()}
    assert folders == {*PROGRAMS, *OTHERS}
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in folders if f"({name}/README.md)" not in listed] == []
    assert [name for name in folders if not (EXAMPLES / name / "README.md").exists()] == []


def test_the_scripts_are_listed_and_short():
    scripts = EXAMPLES / "scripts"
    listed = set(re.findall(r"^\| `(\w+\.py)`", (scripts / "README.md").read_text(), re.MULTILINE))
    assert listed == {file.name for file in scripts.glob("*.py")} == {*SCRIPTS, "leakage.py"}
    for name in SCRIPTS:
        assert len((scripts / name).read_text(encoding="utf-8").splitlines()) < 50, name


@pytest.mark.parametrize("folder", PROGRAMS)
def test_the_tests_of_a_program_pass(run_python, tmp_path, folder):
    program = shutil.copytree(EXAMPLES / folder, tmp_path / folder)
    options = ("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    done = run_python(*options, cwd=program)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout


def test_quickstart_needs_nothing_and_warns_of_the_public_key(run):
    done = run("quickstart.py")
    assert "recovered exactly: True" in done.stdout
    assert "Zoë" not in done.stdout
    assert "219-09-9999" not in done.stdout
    assert "DevelopmentKeyWarning" in done.stderr


def test_quickstart_takes_the_key_of_the_variable(run):
    key = DevelopmentSource().read("another").record.fields["value"]
    done = run("quickstart.py", SECUREML_MASTER_KEY=key)
    assert "recovered exactly: True" in done.stdout
    assert done.stdout != run("quickstart.py").stdout
    assert done.stderr == ""


def test_an_application_has_secrets_and_keys_in_its_own_dynaconf(run, to_vault, vault):
    for environment in ("development", "production"):
        vault.client().secrets.kv.v2.create_or_update_secret(
            f"secureml/{environment}/dynaconf", {"db_password": "@int 5"}
        )
    done = run("dynaconf_app.py", **to_vault)
    assert done.stdout.splitlines() == [
        "reports logs in with a password of 6 characters",
        "key: reports_key",
        "key in production: reports_key_2027",
        "key in development: reports_key",
    ]
    assert done.stderr == ""


def test_vault_makes_a_key_once_and_finds_it_again(run, to_vault, vault):
    made = run("vault.py", **to_vault).stdout.splitlines()
    assert made[0].startswith("made secret/secureml/orders_key, version 1, fingerprint ")
    assert made[1:] == [
        "32 bytes, the same each time: True",
        "derived: 32 and 64 bytes",
        "user: reports",
        "absent: none",
    ]
    found = run("vault.py", **to_vault).stdout.splitlines()
    assert found[0] == made[0].replace("made", "found")

    read = vault.client().secrets.kv.v2.read_secret_version(
        "secureml/orders_key", raise_on_deleted_version=True
    )
    assert len(bytes.fromhex(read["data"]["data"]["value"])) == 32


def test_vault_says_what_to_do_without_one(run_python):
    done = run_python(str(EXAMPLES / "scripts" / "vault.py"))
    assert done.returncode == 1
    assert "secureml keys configure-vault" in done.stderr


def table_of(text):
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text]
    return pd.DataFrame(rows[1:], columns=rows[0]).set_index("environment")


def test_fallbacks_prints_the_policy(run):
    table = table_of(run("fallbacks.py").stdout.splitlines())
    assert table["as configured"].unique().tolist() == ["SecretNotFoundError"]
    assert table["down"].unique().tolist() == ["VaultUnavailableError"]
    assert table["down, default on"].to_dict() == {
        "development": "development default",
        "staging": "ConfigurationError",
        "production": "ConfigurationError",
        "None": "development default",
    }
    assert table["down, key in variable"].to_dict() == {
        "development": "environment variable",
        "staging": "environment variable",
        "production": "VaultUnavailableError",
        "None": "environment variable",
    }


def test_fallbacks_finds_what_is_in_vault(run, to_vault, vault):
    path = "secureml/production/master_key"
    vault.client().secrets.kv.v2.create_or_update_secret(path, {"value": "5e" * 32})
    table = table_of(run("fallbacks.py", **to_vault).stdout.splitlines())
    assert table["as configured"]["production"] == "vault"
    assert table["as configured"]["staging"] == "SecretNotFoundError"
    assert table["down"]["production"] == "VaultUnavailableError"


def test_rotation_keeps_old_tables_readable_however_often_it_is_run(run, to_vault):
    for newest in (2, 3):
        lines = run("rotation.py", **to_vault).stdout.splitlines()
        assert f"rotated to version {newest}" in lines
        claims = [line for line in lines if line.startswith(("old", "new"))]
        assert len(claims) == 4
        assert all(line.endswith(": True") for line in claims)
        assert sum(line.startswith("version ") for line in lines) == newest


def test_leakage_measures_what_the_documentation_says_and_plots_the_same_each_time(
    run_python, tmp_path
):
    done = run_python(str(EXAMPLES / "scripts" / "leakage.py"), str(tmp_path), env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert done.stdout in (DOCS / "leaks.md").read_text(encoding="utf-8")
    for file in sorted((DOCS / "img").glob("leakage-*.svg")):
        documented = file.read_text(encoding="utf-8")
        made = (tmp_path / file.name).read_text(encoding="utf-8")
        assert made.count("<path") == documented.count("<path")
        if f"Matplotlib v{version('matplotlib')}," in documented:
            assert made == documented


def outputs_of(notebook):
    """Return what each cell shows, with other texts in place of what is salted."""
    return [
        [
            re.sub("[0-9a-f]{64}", "MAC", "".join(data.get("text/html", data["text/plain"])))
            for data in (output["data"] for output in cell["outputs"])
        ]
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]


def test_the_notebook_shows_what_it_was_committed_with(run_python, tmp_path):
    if int(pd.__version__.partition(".")[0]) < 3:
        pytest.skip("the outputs are those of pandas 3")
    committed, executed = EXAMPLES / "notebook" / "customers.ipynb", tmp_path / "executed.ipynb"
    execute(run_python, committed, executed, cwd=committed.parent)
    assert outputs_of(executed) == outputs_of(committed)
    assert any("master_key" in shown for shown in chain(*outputs_of(committed)))
    material = DevelopmentSource().read("master_key").record.fields["value"]
    octets = bytes.fromhex(material)
    text = committed.read_text(encoding="utf-8")
    assert [one for one in (material, base64.b64encode(octets).decode()) if one in text] == []


AIRFLOW = """
class BaseOperator:
    def __init__(self, *, task_id, retries=0):
        self.task_id = task_id

def task(function):
    return lambda *arguments: function

def dag(**_):
    return lambda function: function
"""
RUN_OPERATOR = """
import sys
from customers import PseudonymizeFiles, hidden_file
assert "secureml" not in sys.modules
for _ in range(2):
    operator = PseudonymizeFiles(task_id="hide", source="in", target="out", columns=["ssn"])
    print(operator.execute({}))
print(hidden_file()("in/a.csv", "b.csv"))
"""


def test_the_tasks_of_the_dag_pseudonymize_files(run_python, tmp_path):
    """As under Airflow, of which it takes three names; ``make test-workflows`` has the real one."""
    shutil.copy(EXAMPLES / "airflow_dag" / "customers.py", tmp_path)
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "sdk.py").write_text(AIRFLOW)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("ssn\n219-09-9999\n")
    key = {"SECUREML_MASTER_KEY": "5e" * 32, "SECUREML_ENV": "development"}
    done = run_python("-c", RUN_OPERATOR, cwd=tmp_path, env=dict(os.environ) | key)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "{'written': 1, 'before': 0, 'rows': 1}",
        "{'written': 0, 'before': 1, 'rows': 0}",
        "1",
    ]


IN_PLUGIN = """
import sys
if len(sys.argv) > 1:
    sys.path.insert(0, sys.argv[1])
import pandas as pd
from secureml import anonymize, reidentify, rekey
from secureml.errors import PseudonymizationError
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

manager = KeyManager(environment="development", store=MemoryStore())
for name in ("master_key", "next_key"):
    manager.import_key(name, bytes(range(32)) if name == "master_key" else bytes(32))
vehicles = pd.DataFrame(
    {
        "plate": ["AB12 CDE", "LK68XYZ", "AB63 FFF", None, "", "no plate"],
        "owner": ["Zoë", "Łukasz", "Zoë", "", None, "Ann"],
        "site": ["a", "a", "b", "b", "a", "a"],
    }
)
"""
MAKE = """
for tweaks in ({}, {"plate": "site", "owner": "site"}):
    hidden = anonymize(
        vehicles,
        sensitive_columns=["plate", "owner"],
        formats={"plate": "example:plate/1"},
        strategy={"owner": "example:hex_token/1"},
        options={"plate": {"keep_area": True}, "owner": {"upper": True}},
        tweaks=tweaks,
        on_invalid="token",
        key_manager=manager,
    )
    assert hidden["plate"].str.fullmatch("AB[0-9]{2} [A-Z]{3}")[0], hidden
    assert hidden["plate"].str.fullmatch("LK[0-9]{2}[A-Z]{3}")[1], hidden
    assert hidden["plate"][5].startswith("~"), hidden
    assert hidden["owner"].dropna().str.fullmatch("[0-9A-F]*").all(), hidden
    assert (hidden["owner"][0] == hidden["owner"][2]) is (not tweaks)
    moved = rekey(hidden, to_key="next_key", key_manager=manager)
    assert moved["owner"][0] != hidden["owner"][0]
    for table in (hidden, moved):
        columns = table.attrs["secureml"]["columns"]
        assert columns["plate"]["format"] == "example:plate/1"
        assert columns["owner"]["strategy"] == "example:hex_token/1"
        pd.testing.assert_frame_equal(reidentify(table, key_manager=manager), vehicles)
hidden.to_parquet("hidden.parquet")
"""
RECOVER = """
try:
    reidentify(pd.read_parquet("hidden.parquet"), key_manager=manager)
except PseudonymizationError as error:
    print(type(error).__name__, error)
"""


def test_a_package_adds_a_format_and_a_strategy_and_is_named_if_it_is_missing(run_python, tmp_path):
    install = ("-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation")
    done = run_python(*install, "--target", str(tmp_path / "plugins"), str(EXAMPLES / "plugin"))
    assert done.returncode == 0, done.stderr
    done = run_python("-c", IN_PLUGIN + MAKE, str(tmp_path / "plugins"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_python("-c", IN_PLUGIN + RECOVER, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "ManifestError the manifest can't be used: column 'plate': the format 'example:plate/1' is"
        " not installed: install the package of 'example' that registers it as an entry point of"
        " 'secureml.formats' (SML-410)\n"
    )
