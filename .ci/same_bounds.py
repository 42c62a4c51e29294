"""Ends with 0 if dependencies and their bounds are those of two days ago, and with 1 otherwise.

A clone of main does not say which of its commits are new, and a change may have many.
"""

import subprocess
import sys
import tomllib


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def bounds_at(commit: str) -> tuple[object, ...]:
    project = tomllib.loads(git("show", f"{commit}:pyproject.toml"))["project"]
    return (
        *(project[name] for name in ("requires-python", "dependencies", "optional-dependencies")),
        git("show", f"{commit}:tests/lowest.txt"),
    )


before = git("rev-list", "--max-count=1", "--before=2 days ago", "HEAD").strip()
sys.exit(not before or bounds_at(before) != bounds_at("HEAD"))
