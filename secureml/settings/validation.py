"""Checks settings files in all of their environments, without asking Vault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from secureml.settings.merge import read_layers
from secureml.settings.origins import Problem
from secureml.settings.recipe import Layers
from secureml.settings.setting import collecting
from secureml.settings.variables import ENVIRONMENT_VARIABLE

__all__ = ["Validation", "validate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What was checked, and what is wrong.

    Attributes:
        files: the settings files, weakest first.
        environments: the environments that were checked; None is that none is selected.
        problems: what is wrong, in the order of files and lines; each once.
    """

    files: tuple[Path, ...]
    environments: tuple[str | None, ...]
    problems: tuple[Problem, ...]


def validate(layers: Layers, environ: Mapping[str, str]) -> Validation:
    """Check settings in each environment; nothing is fetched over the network.

    Args:
        layers: the recipe. If it selects no environment, all that its files have a section for are
            checked; if they have none, that none is selected.
        environ: the environment variables that count; those of ``SECUREML_ENV`` do not.

    Warns:
        IgnoredSettingWarning: a file is passed over, or a variable looks like a setting's.
        ExposedSecretWarning: a secret lies where others may read it.
    """
    environ = {name: value for name, value in environ.items() if name != ENVIRONMENT_VARIABLE}
    names: Sequence[str | None] = [layers.environment]
    if layers.environment is None:
        names = read_layers(layers, environ=environ).declared or [None]
    files: dict[Path, None] = {}
    problems: list[str] = []
    for name in names:
        read = read_layers(replace(layers, environment=name), environ=environ)
        files |= dict.fromkeys(read.files)
        with collecting(problems):
            read.warn(read.merged())
    found = [part for problem in map(Problem.of, problems) for part in problem.parts or (problem,)]
    ordered = sorted(dict.fromkeys(found), key=_order)
    return Validation(files=tuple(files), environments=tuple(names), problems=tuple(ordered))


def _order(problem: Problem) -> tuple[str, int]:
    file = problem.place.file if problem.place else None
    return str(file or ""), problem.line or 0
