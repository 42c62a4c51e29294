"""One layer of settings: what it sets, checked, and how it goes on top of the weaker layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secureml.settings.environments import nearest
from secureml.settings.origins import Origin, Problem
from secureml.settings.schema import BY_NAME, SETTINGS, clashes
from secureml.settings.setting import collecting
from secureml.settings.variables import ENVIRONMENT_VARIABLE, FILE_VARIABLE

__all__ = ["Holder", "Layer", "over"]

_GROUPS = {setting.name: setting.group for setting in SETTINGS if setting.group is not None}
_SUGGESTIONS = 20
"""For how many unknown names of a layer the nearest known one is looked for, which takes long."""


@dataclass(frozen=True, slots=True, eq=False)
class Holder:
    """A checked value, which Dynaconf neither looks into nor shows in its history."""

    value: Any = field(repr=False)


@dataclass(frozen=True)
class Layer:
    """One layer of settings, which is a loader of Dynaconf's.

    Attributes:
        origin: what `Settings.origins` says of its settings.
        found: its settings by name, as they were found.
        origins: what `Settings.origins` says of single ones instead, by name.
        place: what a message says of them, if that is not the origin.
        file: the file they stand in, if they do.
        section: the section of that file.
        textual: whether text may stand for a boolean or a number.
        from_vault: whether only some settings may be among them.
        values: those without a problem, each of its declared type.
        problems: what is wrong with the others, one sentence each, without a value.
    """

    origin: str
    found: Mapping[str, object] = field(repr=False)
    origins: Mapping[str, str] = field(default_factory=dict)
    place: str | None = None
    file: Path | None = None
    section: str | None = None
    textual: bool = False
    from_vault: bool = False
    values: Mapping[str, Any] = field(init=False, repr=False)
    problems: Sequence[Problem] = field(init=False)

    def __post_init__(self) -> None:
        values: dict[str, Any] = {}
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "problems", list(self._checked_into(values)))

    def load(
        self, obj: Any, env: str | None = None, silent: bool = True, key: str | None = None
    ) -> None:
        """Put the settings on top of what weaker layers have set.

        If this layer sets one of several settings that mean one thing, such as a secret or its
        file, what weaker layers say of the others is taken back. Tables add to weaker ones.

        Args:
            obj: the settings object of Dynaconf. What else it passes is of no use here: a layer is
                of one environment and loaded whole.
        """
        decided = _decided(self.values)
        for name, group in _GROUPS.items():
            if group in decided:
                obj.unset(name)
        for name, value in self.values.items():
            is_table = BY_NAME[name].read is not None
            weaker = obj.get(name) if is_table else None
            if is_table and not value:
                continue
            holder = Holder(value if weaker is None else value.over(weaker.value))
            obj.set(name, holder, loader_identifier=self.origin_of(name), merge=False)

    def origin_of(self, name: Any) -> str:
        """Return what `Settings.origins` says of one of its settings."""
        return self.origins.get(name, self.origin)

    def _checked_into(self, values: dict[str, Any]) -> Iterator[Problem]:
        """Fill in the values without a problem; yield what is wrong with the others."""
        strangers = []
        folder = self.file.parent if self.file else None
        for name, value in self.found.items():
            setting = BY_NAME.get(name)
            if setting is None:
                strangers.append(name)
                continue
            problems: list[str] = []
            if self.from_vault and not setting.vault_may_set:
                problems = [f"{name} can't be set in Vault"]
            elif self.textual and isinstance(value, str):
                with collecting(problems):
                    values[name] = setting.parse(value)
            else:
                with collecting(problems):
                    values[name] = setting.convert(value, folder)
            for problem in problems:
                yield self._told([name], Problem.of(problem).under(name))
        for names, clash in clashes({n for n, value in self.found.items() if value is not None}):
            for name in names:
                values.pop(name, None)
            yield self._told(names, Problem(clash, keys=names[:1]))
        for problem in _strange(strangers, self.file):
            yield self._told(strangers, problem)

    def _told(self, names: Iterable[object], problem: Problem) -> Problem:
        origins = list(dict.fromkeys(self.origin_of(name) for name in names))
        return problem.at(Origin.of(*origins).places[-1], self.place or ", ".join(origins))


def over(stronger: Mapping[str, object], weaker: Mapping[str, object]) -> dict[str, object]:
    """Return settings over weaker ones; of those that mean one thing, only the stronger count."""
    decided = _decided(stronger)
    kept = {name: weaker[name] for name in weaker if _GROUPS.get(name) not in decided}
    return {**kept, **stronger}


def _decided(names: Iterable[str]) -> set[str]:
    return {_GROUPS[name] for name in names if name in _GROUPS}


def _strange(names: Sequence[object], file: Path | None) -> list[Problem]:
    """Say what may be wrong with names that no setting has."""
    problems: list[Problem] = []
    unknown: list[Problem] = []
    for name in names[:_SUGGESTIONS]:
        if not isinstance(name, str):
            unknown.append(Problem(f"a name that is {type(name).__name__} and not text"))
            continue
        shown, keys = repr(name[:80]), (name,)
        meant = nearest(name[:80].lower(), BY_NAME, 0.7)
        if name in {"env", "environment"}:
            text = f"the environment is chosen by {ENVIRONMENT_VARIABLE} or in code"
            problems.append(Problem(text, keys=keys))
        elif meant:
            text = f"unknown setting {shown}; did you mean '{meant}'?"
            problems.append(Problem(text, keys=keys))
        else:
            unknown.append(Problem(shown, f"unknown setting {shown}", keys=keys))
    if len(names) > _SUGGESTIONS:
        unknown.append(Problem(f"and {len(names) - _SUGGESTIONS} more"))
    if unknown:
        hint = f" (if another program owns the file, name yours in {FILE_VARIABLE})" if file else ""
        problems.append(Problem(f"unknown: {', '.join(unknown)}{hint}", parts=unknown))
    return problems
