"""What one layer offers, and whether it is any good."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from secureml.errors import ConfigurationError
from secureml.settings.environments import nearest
from secureml.settings.schema import SETTINGS, clashes
from secureml.settings.variables import ENVIRONMENT_VARIABLE, FILE_VARIABLE

__all__ = ["BY_NAME", "Offer", "check", "decisive"]

BY_NAME = MappingProxyType({setting.name: setting for setting in SETTINGS})
_GROUPS = {setting.name: setting.group for setting in SETTINGS if setting.group is not None}
_SUGGESTIONS = 20
"""For how many unknown names of a layer the nearest known one is looked for, which takes long."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The settings of one layer as they were found.

    Attributes:
        origin: what `Settings.origins` says of them.
        origins: what it says of single ones instead, by name.
        values: by name; neither name nor value has been looked at.
        place: what a message says of them, if that is not the origin.
        file: the file they stand in, if they do.
        section: the section of that file.
        textual: whether text may stand for a boolean or a number.
        from_vault: whether only some settings may be among them.
    """

    origin: str
    values: Mapping[str, object] = field(repr=False)
    origins: Mapping[str, str] = field(default_factory=dict)
    place: str | None = None
    file: Path | None = None
    section: str | None = None
    textual: bool = False
    from_vault: bool = False

    def origin_of(self, name: Any) -> str:
        """Return what `Settings.origins` says of one of the settings."""
        return self.origins.get(name, self.origin)

    def place_of(self, names: Iterable[object]) -> str:
        """Return what a message says of some of the settings."""
        return self.place or ", ".join(dict.fromkeys(self.origin_of(name) for name in names))


def decisive(layers: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Leave each meaning to the strongest layer that says something of it.

    Args:
        layers: settings by name, the weakest layer first.

    Returns:
        The layers without the settings whose group a stronger one decides.
    """
    decided: set[str] = set()
    kept = []
    for values in reversed(layers):
        kept.append({name: values[name] for name in values if _GROUPS.get(name) not in decided})
        decided |= {_GROUPS[name] for name in values if name in _GROUPS}
    return kept[::-1]


def check(offer: Offer, problems: list[str]) -> dict[str, object]:
    """Check one layer.

    Args:
        offer: the layer.
        problems: those found are added to it, one sentence each, without a value.

    Returns:
        The settings without a problem, each of its declared type.
    """
    found = []
    strangers = []
    values = {}
    folder = offer.file.parent if offer.file else None
    for name, value in offer.values.items():
        setting = BY_NAME.get(name)
        if setting is None:
            strangers.append(name)
            continue
        if offer.from_vault and not setting.vault_may_set:
            found.append(([name], f"{name} can't be set in Vault"))
            continue
        try:
            if offer.textual and isinstance(value, str):
                values[name] = setting.parse(value)
            else:
                values[name] = setting.convert(value, folder)
        except ConfigurationError as error:
            found += [([name], problem) for problem in error.problems]
    found += clashes({name for name, value in offer.values.items() if value is not None})
    found += [(strangers, problem) for problem in _strange(strangers, offer.file)]
    problems += [f"{offer.place_of(names)}: {problem}" for names, problem in found]
    return values


def _strange(names: Sequence[object], file: Path | None) -> list[str]:
    """Say what may be wrong with names that no setting has."""
    problems = []
    unknown = []
    for name in names[:_SUGGESTIONS]:
        if not isinstance(name, str):
            unknown.append(f"a name that is {type(name).__name__} and not text")
            continue
        meant = nearest(name[:80].lower(), BY_NAME, 0.7)
        if name in {"env", "environment"}:
            problems.append(f"the environment is chosen by {ENVIRONMENT_VARIABLE} or in code")
        elif meant:
            problems.append(f"unknown setting {name[:80]!r}; did you mean '{meant}'?")
        else:
            unknown.append(repr(name[:80]))
    if len(names) > _SUGGESTIONS:
        unknown.append(f"and {len(names) - _SUGGESTIONS} more")
    if unknown:
        hint = f" (if another program owns the file, name yours in {FILE_VARIABLE})" if file else ""
        problems.append(f"unknown: {', '.join(unknown)}{hint}")
    return problems
