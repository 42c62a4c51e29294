"""The guide does what it says, page by page."""

from __future__ import annotations

import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

import secureml.errors
from secureml import key_management
from secureml.cli.base import exit_code_of

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "docs/github-actions.md",
    "docs/kubernetes.md",
    "docs/notebooks.md",
    "docs/postgres.md",
}
"""Pages that take a server or a kernel which other tests start: these follow them."""
PAGES = sorted(
    {page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md")} - ELSEWHERE
)


NEEDED = {
    "docs/airflow.md": ("airflow", None),
    "docs/dask.md": ("distributed", None),
    "docs/dbt.md": ("dbt", None),
    "docs/dlt.md": ("dlt", None),
    "docs/migrating-ff3.md": ("ff3", None),
    "docs/migrating-presidio.md": ("presidio_anonymizer", None),
    "docs/ray.md": ("ray", None),
    "docs/spark.md": ("pyspark", "java"),
}
"""The module, and the program, that a page takes and not every environment has."""


# What Dask and Ray do on their own account.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`[a-z_0-9]+` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("page", PAGES)
def test_every_block_works(reader, page):
    if page in NEEDED:
        module, program = NEEDED[page]
        # Not imported: Ray reads the variables of the page then.
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
        if program is not None and not shutil.which(program):
            pytest.skip(f"this machine has no {program}")
    reader.follow(ROOT / page)


def test_a_scheduler_of_airflow_reads_the_dag_of_the_page_without_secureml(run_python, tmp_path):
    pytest.importorskip("airflow", reason="airflow is not installed")
    shutil.copy(ROOT / "examples" / "airflow_dag" / "customers.py", tmp_path)
    program = "import sys; sys.modules['secureml'] = None; import customers"
    environment = dict(os.environ) | {"AIRFLOW_HOME": str(tmp_path / "airflow")}
    done = run_python("-c", program, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_public_name_has_its_place_in_the_reference():
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/api").glob("*.md"))
    names = [f"secureml.key_management.{name}" for name in key_management.__all__]
    shared = set(key_management.__all__)
    names += [f"secureml.{name}" for name in secureml.__all__ if name not in shared]
    assert [name for name in names if f":: {name}\n" not in pages] == []


def test_every_exit_code_is_explained():
    page = (ROOT / "docs/api/cli.md").read_text(encoding="utf-8")
    for code, kinds in re.findall(r"^\| ([2-5]) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", kinds):
            assert exit_code_of(getattr(secureml.errors, name)("")) == int(code), name
