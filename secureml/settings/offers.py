"""What one layer offers, and whether it is any good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from secureml.errors import ConfigurationError
from secureml.settings.environments import nearest
from secureml.settings.schema import SETTINGS
from secureml.settings.variables import ENVIRONMENT_VARIABLE, FILE_VARIABLE

__all__ = ["BY_NAME", "Offer", "check"]

BY_NAME = MappingProxyType({setting.name: setting for setting in SETTINGS})


@dataclass(frozen=True, slots=True)
class Offer:
    """The settings of one layer as they were found.

    Attributes:
        origin: what `Settings.origins` says of them.
        values: by name; neither name nor value has been looked at.
        place: what a message says of them, if that is not the origin.
        file: the file they stand in, if they do.
        textual: whether text may stand for a boolean or a number.
        from_vault: whether only some settings may be among them.
    """

    origin: str
    values: Mapping[str, object] = field(repr=False)
    place: str | None = None
    file: Path | None = None
    textual: bool = False
    from_vault: bool = False


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
            found.append(f"{name} can't be set in Vault")
            continue
        try:
            if offer.textual and isinstance(value, str):
                values[name] = setting.parse(value)
            else:
                values[name] = setting.convert(value, folder)
        except ConfigurationError as error:
            found += error.problems
    found += _strange(strangers, offer.file)
    problems += [f"{offer.place or offer.origin}: {problem}" for problem in found]
    return values


def _strange(names: Sequence[object], file: Path | None) -> list[str]:
    """Say what may be wrong with names that no setting has."""
    problems = []
    unknown = []
    for name in names:
        meant = nearest(str(name).lower(), BY_NAME, 0.7)
        if name in {"env", "environment"}:
            problems.append(f"the environment is chosen by {ENVIRONMENT_VARIABLE} or in code")
        elif meant:
            problems.append(f"unknown setting {name!r}; did you mean '{meant}'?")
        else:
            unknown.append(repr(name))
    if unknown:
        hint = f" (if another program owns the file, name yours in {FILE_VARIABLE})" if file else ""
        problems.append(f"unknown: {', '.join(unknown)}{hint}")
    return problems
