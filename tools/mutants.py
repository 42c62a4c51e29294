"""Change the package at random places, one at a time, and tell which changes no test notices.

make mutants MUTANTS=300 SEED=1

mutmut makes the mutants; each is written into a copy of the project in build/mutants, never into
this folder. The first run measures which test runs which line. A mutant meets the tests that run
its line, the quickest first, until one fails; one that survives meets the tests of the rooms above.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import coverage
import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import MutationVisitor, deep_replace
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build/mutants"

# What is changed, the tests beside it, and those of the rooms above.
ROOMS = {
    "keys": ("keys", "keys", "key_management"),
    "key_management": (
        "key_management",
        "key_management audit",
        "configuration stores cli/keys",
    ),
    "ciphers": ("ciphers", "ciphers", "pseudonymization/ranking test_golden.py"),
    "strategies": (
        "pseudonymization/strategies",
        "pseudonymization/strategies",
        "pseudonymization/formats anonymization test_golden.py",
    ),
    "manifest": (
        "pseudonymization/manifest",
        "pseudonymization/test_manifest.py pseudonymization/test_keys.py"
        " test_manifest_vectors.py test_golden.py",
        "anonymization files/test_refused.py",
    ),
    "settings": ("settings", "settings", "configuration cli/settings test_dynaconf.py"),
}

# What a test may take beside what it takes unchanged, and a mutant's tests in all, in seconds.
SLOWER = 10
AT_LEAST = 30
NEAR = 600
ABOVE = 600

# Each takes a minute: they come last, and nobody measures which lines they run.
LONG = [
    f"tests/key_management/test_{name}.py" for name in ("life_model", "rotations", "rolled_back")
]

SPOKEN = {"__repr__", "__str__", "_repr_html_"}
SAYING = {"warn", "debug", "info", "warning", "exception", "cast", "TypeVar"}
PRELOADED = ["pytest", "xdist", "cryptography.hazmat.primitives.ciphers", "cryptography.x509"]
PRELOADED += ["hvac", "dynaconf", "pandas", "pyarrow.parquet", "polars", "rich.table", "trustme"]


class Behaviour(MutationVisitor):
    """The changes of mutmut, but for those of messages, and those of decorated functions as well.

    mutmut leaves decorated functions alone for the way in which it calls mutants.
    """

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        match node:
            case cst.Raise() | cst.Decorator() | cst.FormattedString() | cst.ConcatenatedString():
                return True
            case cst.SimpleString(value=text):
                return " " in text
            case cst.FunctionDef(decorators=[cst.Decorator(decorator=cst.Name(value="overload"))]):
                return True
            case cst.FunctionDef(name=cst.Name(value=name)):
                return name in SPOKEN
            case cst.Call(func=cst.Name(value=name) | cst.Attribute(attr=cst.Name(value=name))):
                return name in SAYING or super()._skip_node_and_children(node)
            case cst.If(test=cst.Name(value="TYPE_CHECKING")):
                return True
            case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
                return name in {"__all__", "__slots__"}
        return super()._skip_node_and_children(node)


@dataclass(frozen=True)
class Mutant:
    """The change of a number in the order of mutmut's changes of a file."""

    room: str
    file: str
    number: int

    def __str__(self) -> str:
        return f"{self.file}#{self.number}"


@cache
def mutations(file: str) -> tuple[str, cst.Module, list[Any]]:
    source = Path(file).read_text()
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = Behaviour(mutation_operators, IgnoredCode(set(), set(), set()))
    return source, wrapper.visit(visitor), visitor.mutations


def all_mutants(files: Collection[str] = ()) -> Iterator[Mutant]:
    """Yield the mutants of all rooms, or of some of their files."""
    for room, (changed, _, _) in ROOMS.items():
        path = Path("secureml", changed)
        for file in map(str, sorted(path.rglob("*.py")) if path.is_dir() else [path]):
            if not files or file in files:
                for number in range(len(mutations(file)[2])):
                    yield Mutant(room, file, number)


def changed_source(mutant: Mutant) -> str:
    _, module, found = mutations(mutant.file)
    mutation = found[mutant.number]
    changed = deep_replace(module, mutation.original_node, mutation.mutated_node)
    assert isinstance(changed, cst.Module)
    return changed.code


def first_difference(before: str, after: str) -> int:
    for number, pair in enumerate(zip(before.splitlines(), after.splitlines(), strict=False), 1):
        if pair[0] != pair[1]:
            return number
    return 1


def statement_lines(source: str, line: int) -> range:
    """Returns the lines of the smallest statement at a line, without its body."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            body = getattr(node, "body", None)
            end = body[0].lineno if body else (node.end_lineno or 0) + 1
            if line < end:
                found = range(node.lineno, end)
    return found


class Run:
    """A pytest plugin: selects tests and their order, and ends at a failure or at the limit."""

    def __init__(
        self, selected: Collection[str] | None, seconds: dict[str, float], limit: float
    ) -> None:
        self.selected = selected
        self.seconds = seconds
        self.ends = time.monotonic() + limit
        self.failed: list[str] = []
        self.took: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.selected is not None:
            # A test that was not there when lines were measured may run any of them.
            items[:] = [
                each
                for each in items
                if each.nodeid in self.selected or each.nodeid not in self.seconds
            ]
        items.sort(key=lambda each: self.seconds.get(each.nodeid, 0))
        for each in items:
            bound = AT_LEAST + SLOWER * self.seconds.get(each.nodeid, AT_LEAST)
            each.add_marker(pytest.mark.timeout(bound))

    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        if time.monotonic() > self.ends:
            item.session.shouldstop = "the limit"
        if measured := coverage.Coverage.current():
            measured.switch_context(item.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.took[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)


def run_tests(
    told: Any, folder: str, arguments: list[str], run: Run, measured_in: str | None = None
) -> None:
    """Run tests of the copy in this process, and tell what failed and what each took."""
    os.setsid()
    os.chdir(folder)
    os.environ["PYTHONPATH"] = folder
    sys.path.insert(0, folder)
    measured = coverage.Coverage(data_file=measured_in, source_pkgs=["secureml"], config_file=False)
    if measured_in:
        measured.start()
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-n", "0"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    with Path("output.txt").open("w") as file, redirect_stdout(file), redirect_stderr(file):
        status = pytest.main([*options, *arguments], plugins=[run])
    if measured_in:
        measured.stop()
        measured.save()
    import secureml

    assert Path(secureml.__file__).is_relative_to(folder)
    told.send((int(status), run.failed, dict(run.took)))


def in_fork(
    context: Any, arguments: list[str], run: Run, limit: float, *measured_in: str
) -> tuple[int, list[str], dict[str, float]] | None:
    """Returns what ``run_tests`` tells, or None if it had to be killed."""
    reading, writing = context.Pipe(duplex=False)
    given = (writing, str(Path.cwd()), arguments, run, *measured_in)
    process = context.Process(target=run_tests, args=given)
    process.start()
    writing.close()
    answer = None
    if reading.poll(limit):
        try:
            answer = reading.recv()
        except EOFError:  # it ended itself: a mutant may do that
            answer = (1, ["the end of the process"], {})
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return answer


def copy_project(folder: Path) -> None:
    """Make a folder equal to the files of this one that Git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    names = {name for name in listed if name and (ROOT / name).is_file()}
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for file in folder.rglob("*.py"):
        if str(file.relative_to(folder)) not in names:
            file.unlink()


def paths_of(tests: str) -> list[str]:
    return [f"tests/{each}" for each in tests.split()]


def digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def map_of(room: str) -> Path:
    return BUILD / f"lines-{room}.json"


def measure_lines(room: str, context: Any) -> None:
    """Write down which tests run which lines, what each takes, and of what state of files."""
    paths = paths_of(ROOMS[room][1])
    paths += [f"--ignore={file}" for file in LONG]
    measured_in = str(BUILD / f"lines-{room}")
    answer = in_fork(context, paths, Run(None, {}, 3600), 4000, measured_in)
    assert answer, "the tests do not end"
    _, failed, took = answer
    data = coverage.CoverageData(measured_in)
    data.read()
    files = {}
    for file in data.measured_files():
        name = str(Path(file).relative_to(Path.cwd()))
        lines = data.contexts_by_lineno(file).items()
        files[name] = {
            "digest": digest(name),
            "lines": {line: [each for each in tests if each] for line, tests in lines},
        }
    document = {"files": files, "seconds": took, "failed": failed}
    map_of(room).write_text(json.dumps(document))


def all_measured(context: Any) -> dict[str, Any]:
    """Returns what is known of the tests of all rooms, measured unless it is written down."""
    known: dict[str, Any] = {"lines": defaultdict(set), "seconds": {}, "failed": set()}
    for room in ROOMS:
        if not map_of(room).exists():
            measure_lines(room, context)
        measured = json.loads(map_of(room).read_text())
        known["seconds"] |= measured["seconds"]
        known["failed"] |= set(measured["failed"])
        for file, of_file in measured["files"].items():
            # Lines of a file that changed since are others.
            if Path(file).exists() and of_file["digest"] == digest(file):
                for line, tests in of_file["lines"].items():
                    known["lines"][file, int(line)] |= set(tests)
    return known


def tests_of(mutant: Mutant, lines: range, known: dict[str, Any]) -> set[str]:
    """Returns the tests that run lines; all of the room, if none is known to."""
    found = {test for line in lines for test in known["lines"][mutant.file, line]}
    if not found:
        near = tuple(paths_of(ROOMS[mutant.room][1]))
        found = {test for test in known["seconds"] if test.startswith(near)}
    return found - known["failed"]


def changed_since_measured(room: str, near: list[str]) -> set[str]:
    """Returns the files of tests that may have more tests than were measured."""
    files = [
        each
        for path in map(Path, near)
        for each in (path.rglob("test_*.py") if path.is_dir() else [path])
    ]
    measured_at = map_of(room).stat().st_mtime
    return {str(file) for file in files if file.stat().st_mtime > measured_at}


def outcome_of(
    mutant: Mutant, selected: set[str], context: Any, known: dict[str, Any], above: bool
) -> tuple[str, str]:
    """Returns whether a mutant that was written is killed, and by which test."""
    near, wider = (paths_of(tests) for tests in ROOMS[mutant.room][1:])
    stem = f"test_{Path(mutant.file).stem}.py"
    beside = {test for test in selected if test.partition("::")[0].endswith(stem)}
    # Few files are quick to load: those of the module first.
    first = beside or set(sorted(selected, key=known["seconds"].__getitem__)[:20])
    rounds = [
        (first, set()),
        (selected - first, changed_since_measured(mutant.room, near)),
        (set(), {file for file in LONG if file.startswith(tuple(near))}),
    ]
    is_late = False
    for tests, files in rounds:
        if files := files | {test.partition("::")[0] for test in tests}:
            run = Run(tests, known["seconds"], NEAR)
            answer = in_fork(context, ["-x", *sorted(files)], run, 2 * NEAR)
            if verdict := verdict_of(answer):
                return verdict
            is_late |= answer[0] == pytest.ExitCode.INTERRUPTED
    if above:
        answer = in_fork(context, ["-x", *near, *wider], Run(None, {}, ABOVE), 2 * ABOVE)
        if verdict := verdict_of(answer):
            return verdict
        is_late |= answer[0] == pytest.ExitCode.INTERRUPTED
    return "survived", "the limit" if is_late else ""


def verdict_of(answer: tuple[int, list[str], dict[str, float]] | None) -> tuple[str, str] | None:
    if answer is None:
        return "timeout", ""
    status, failed, _ = answer
    ended = pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED
    if failed or status not in (*ended, pytest.ExitCode.INTERRUPTED):
        return "killed", "".join(failed[:1])
    return None


def write(module: Path, source: str) -> None:
    """Write a module, and forget what is compiled: both may be of one second and size."""
    module.write_text(source)
    for compiled in (module.parent / "__pycache__").glob(f"{module.stem}.*"):
        compiled.unlink()


def judged(mutant: Mutant, context: Any, known: dict[str, Any], above: bool) -> dict[str, Any]:
    source = mutations(mutant.file)[0]
    changed = changed_source(mutant)
    line = first_difference(source, changed)
    selected = tests_of(mutant, statement_lines(source, line), known)
    target = Path(mutant.file)
    write(target, changed)
    try:
        outcome, by = outcome_of(mutant, selected, context, known, above)
    finally:
        write(target, source)
    difference = difflib.unified_diff(
        source.splitlines(), changed.splitlines(), mutant.file, mutant.file, "", "", 1, ""
    )
    return {
        "mutant": str(mutant), "room": mutant.room, "line": line, "outcome": outcome, "by": by,
        "tests": len(selected), "difference": "\n".join(list(difference)[2:]),
    }  # fmt: skip


def report(results: list[dict[str, Any]]) -> None:
    print(f"\n{'room':<16}{'killed':>8}{'timeout':>9}{'survived':>10}{'':>4}share killed")
    for room in [*ROOMS, "all"]:
        outcomes = Counter(each["outcome"] for each in results if room in {each["room"], "all"})
        if total := outcomes.total():
            share = 1 - outcomes["survived"] / total
            print(
                f"{room:<16}{outcomes['killed']:>8}{outcomes['timeout']:>9}"
                f"{outcomes['survived']:>10}{'':>4}{share:.1%}"
            )
    for each in results:
        if each["outcome"] == "survived":
            until = ", not all tests had time" if each["by"] else ""
            print(f"\n{each['mutant']}, line {each['line']}{until}\n{each['difference']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", default="300", help="how many, or all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="these alone: secureml/keys/material.py#12")
    parser.add_argument("--near", action="store_true", help="without the tests of rooms above")
    asked = parser.parse_args()
    folder = BUILD / f"copy-{asked.seed}"
    copy_project(folder)
    os.chdir(folder)
    # Each run is forked from a process that has imported what is not tested.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    chosen = list(all_mutants({name.partition("#")[0] for name in asked.only or ()}))
    print(f"{len(chosen)} mutants", flush=True)
    if asked.only:
        chosen = [each for each in chosen if str(each) in asked.only]
    elif asked.mutants != "all":
        chosen = random.Random(asked.seed).sample(chosen, int(asked.mutants))
    known = all_measured(context)
    for room in {each.room for each in chosen}:
        files = changed_since_measured(room, paths_of(ROOMS[room][1]))
        run = Run(set(), known["seconds"], ABOVE)
        if files and verdict_of(in_fork(context, sorted(files), run, 2 * ABOVE)):
            sys.exit(f"tests of {', '.join(sorted(files))} fail before anything is changed")
    results = []
    log = BUILD / f"results-{asked.seed}{'-again' if asked.only else ''}.jsonl"
    with log.open("w") as file:
        for each in chosen:
            results.append(judged(each, context, known, not asked.near))
            file.write(json.dumps(results[-1]) + "\n")
            file.flush()
            print(f"{results[-1]['outcome']:<9} {each}", flush=True)
    report(results)


if __name__ == "__main__":
    main()
