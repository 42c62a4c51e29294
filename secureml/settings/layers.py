"""Layers of settings, weakest first, merged by Dynaconf into one frozen object.

This module alone imports Dynaconf, and leaves it nothing to interpret: files, variables, records
and arguments are read and checked here, and each value enters the merge in a holder that Dynaconf
can't look into. So no ``@token`` is evaluated, nothing is cast, and the variables and files that
steer Dynaconf have nothing to act on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from secureml.concealed import conceal, reveal
from secureml.concurrency import unforked
from secureml.errors import ConfigurationError, IgnoredSettingWarning, warn
from secureml.settings.environments import Tier, resolve, tier_of
from secureml.settings.files import (
    Sections,
    find_files,
    is_local,
    read_sections,
)
from secureml.settings.notices import Notice, exposed, ignored_files, ignored_variables
from secureml.settings.offers import BY_NAME, Offer, check
from secureml.settings.packaged import packaged_layers
from secureml.settings.schema import SETTINGS, Settings, floor_problems
from secureml.settings.variables import ENVIRONMENT_VARIABLE, set_variables

__all__ = ["Layers", "ReadLayers", "load_settings", "read_layers"]

_Checked = tuple[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Layers:
    """The recipe for settings: what to read besides the environment variables and Vault.

    Args:
        files: the settings files, weakest first, instead of those found; they must exist.
        environment: the environment, instead of ``SECUREML_ENV``.
        host: a section of the host application's own settings, keys in any case. It is read at
            every load and never changed; entries that are None are passed over.
        arguments: settings given in code, above all layers; those that are None are passed over.

    Raises:
        TypeError: an argument has the wrong Python type.
    """

    files: tuple[Path, ...] | None = None
    environment: str | None = None
    host: Mapping[str, object] | None = field(default=None, repr=False)
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.files, str | os.PathLike):
            raise TypeError("files must be a sequence of paths, not one path")
        if self.environment is not None and not isinstance(self.environment, str):
            raise TypeError("environment must be a str or None")
        object.__setattr__(self, "host", None if self.host is None else conceal(self.host))
        if self.host is not None and not isinstance(reveal(self.host), Mapping):
            raise TypeError("host must be a mapping: one section of the host's settings")
        if self.files is not None:
            files = tuple(Path(file).absolute() for file in self.files)
            object.__setattr__(self, "files", files)
        arguments = {
            name: conceal(value) for name, value in self.arguments.items() if value is not None
        }
        object.__setattr__(self, "arguments", MappingProxyType(arguments))


def load_settings(
    layers: Layers,
    *,
    environ: Mapping[str, str] | None = None,
    vault_record: Mapping[str, object] | None = None,
) -> Settings:
    """Build the settings from all layers; nothing is fetched over the network.

    Weakest first: the packaged defaults, ``settings.toml``, ``settings.local.toml`` (not in
    production, nor in an environment that a file declares), the host application's section, the
    record in Vault, the environment variables, the arguments. In each file ``[default]`` comes
    before the environment's section.

    Args:
        layers: the recipe.
        environ: the environment variables, ``os.environ`` by default. One that is set to nothing
            counts as unset.
        vault_record: what the record ``settings`` in Vault holds, if it was read.

    Returns:
        The settings, checked as a whole.

    Raises:
        ConfigurationError: with every problem of every layer, and the value of none.

    Warns:
        IgnoredSettingWarning: a file is passed over, or a variable looks like a setting's.
        ExposedSecretWarning: a secret lies where others may read it.
    """
    read = read_layers(layers, environ=environ)
    settings = read.merged(vault_record)
    read.warn(settings)
    return settings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadLayers:
    """All layers but Vault's, as they were when they were read.

    Args:
        environment: the selected environment, or None.
        chosen_by: what selected it.
        below: the layers below Vault's, weakest first.
        above: those above it.
        problems: what is wrong with them, a sentence each.
        notices: what to warn of once the settings are in use.
        files: the sections of settings files that are in force.
    """

    environment: str | None
    chosen_by: str
    below: tuple[_Checked, ...] = field(repr=False)
    above: tuple[_Checked, ...] = field(repr=False)
    problems: tuple[str, ...]
    notices: tuple[Notice, ...]
    files: tuple[Offer, ...] = field(repr=False)

    def merged(self, vault_record: Mapping[str, object] | None = None) -> Settings:
        """Build the settings; nothing is read again.

        Args:
            vault_record: what the record ``settings`` in Vault holds, if it was read.

        Raises:
            ConfigurationError: with every problem of every layer, and the value of none.
        """
        problems = list(self.problems)
        layers = [*self.below, *self.above]
        if vault_record is not None:
            origin = _vault_origin(layers, self.environment)
            record = Offer(origin, vault_record, textual=True, from_vault=True)
            layers.insert(len(self.below), (origin, check(record, problems)))
        merged = _merge(_accumulated(layers))
        values: dict[str, Any] = {name: holder.value for name, holder in merged.items()}
        origins = {name: holder.origin for name, holder in merged.items()}
        problems += floor_problems(self.environment, values, origins)
        if problems:
            raise ConfigurationError.of(problems)
        return Settings(
            environment=self.environment,
            origins={**origins, "environment": self.chosen_by},
            **values,
        )

    def warn(self, settings: Settings) -> None:
        """Warn of what is ignored, and of secrets that others may read; of all that is new.

        Args:
            settings: those that were built of these layers.
        """
        for notice, category in (*self.notices, *exposed(settings, self.files)):
            warn(notice, category)


def read_layers(layers: Layers, *, environ: Mapping[str, str] | None = None) -> ReadLayers:
    """Read and check all layers but Vault's; what is wrong shows when they are merged.

    Args:
        layers: the recipe.
        environ: the environment variables, ``os.environ`` by default.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    wanted, chosen_by = _wanted(layers, environ)
    paths, passed_over = _paths(layers, environ, wanted, problems)
    files = _read(paths, problems)
    environment = _environment(wanted, files, problems)

    selected = _selected(files, environment)
    below = [*_packaged(environment), *selected]
    if layers.host is not None:
        below.append(Offer("host application", _given(reveal(layers.host))))
    above = [
        Offer(variable, {name: text}, textual=True)
        for variable, name, text in set_variables(environ)
    ]
    above.append(Offer("argument", layers.arguments))
    lower = [(offer.origin, check(offer, problems)) for offer in below]
    upper = [(offer.origin, check(offer, problems)) for offer in above]
    for offer in _unselected(files, environment):
        check(offer, problems)

    notices: list[Notice] = [
        (f"{path} is not read in {environment}", IgnoredSettingWarning) for path in passed_over
    ]
    notices += ignored_variables(environ)
    searched = [path.parent for path in paths] or ([Path()] if layers.files is None else [])
    for folder in dict.fromkeys(searched):
        notices += ignored_files(folder, paths)
    return ReadLayers(
        environment=environment,
        chosen_by=chosen_by,
        below=tuple(lower),
        above=tuple(upper),
        problems=tuple(problems),
        notices=tuple(notices),
        files=tuple(selected),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Holder:
    """A checked value on its way through Dynaconf, which takes it for an object of no interest."""

    value: object
    origin: str


def _given(section: Mapping[str, object]) -> dict[str, object]:
    return {str(name).lower(): value for name, value in section.items() if value is not None}


def _wanted(layers: Layers, environ: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the environment asked for, and what asks for it."""
    if layers.environment is not None:
        return layers.environment, "argument"
    variable = environ.get(ENVIRONMENT_VARIABLE)
    return (variable, ENVIRONMENT_VARIABLE) if variable else (None, "default")


def _paths(
    layers: Layers, environ: Mapping[str, str], wanted: str | None, problems: list[str]
) -> tuple[list[Path], list[Path]]:
    """List the files to read, and the local ones that a strict environment passes over."""
    paths = list(layers.files or ())
    if layers.files is None:
        try:
            found = find_files(environ)
        except ConfigurationError as error:
            problems.extend(error.problems)
        else:
            paths = [path for path in (found.main, found.local) if path]
    if wanted is None or tier_of(wanted) is not Tier.STRICT:
        return paths, []
    return [p for p in paths if not is_local(p)], [p for p in paths if is_local(p)]


def _read(paths: Iterable[Path], problems: list[str]) -> dict[Path, Sections]:
    files = {}
    for path in paths:
        try:
            files[path] = read_sections(path)
        except ConfigurationError as error:
            problems.extend(error.problems)
    return files


def _environment(
    wanted: str | None, files: Mapping[Path, Sections], problems: list[str]
) -> str | None:
    if wanted is None:
        return None
    declared = {section for sections in files.values() for section in sections} - {"default"}
    try:
        return resolve(wanted, declared)
    except ConfigurationError as error:
        problems.extend(error.problems)
    return None


def _packaged(environment: str | None) -> list[Offer]:
    declared = Offer("default", {setting.name: setting.default for setting in SETTINGS})
    packaged = (Offer(origin, values) for origin, values in packaged_layers(environment).items())
    return [declared, *packaged]


def _selected(files: Mapping[Path, Sections], environment: str | None) -> list[Offer]:
    chosen = ("default",) if environment is None else ("default", environment)
    return [
        _section(path, section, sections[section])
        for path, sections in files.items()
        for section in chosen
        if section in sections
    ]


def _unselected(files: Mapping[Path, Sections], environment: str | None) -> list[Offer]:
    return [
        _section(path, section, values)
        for path, sections in files.items()
        for section, values in sections.items()
        if section not in {"default", environment}
    ]


def _section(path: Path, section: str, values: Mapping[str, object]) -> Offer:
    return Offer(f"{path.name} [{section}]", values, place=f"{path} [{section}]", file=path)


def _vault_origin(checked: Sequence[_Checked], environment: str | None) -> str:
    # How Vault is reached is never set in Vault, so the other layers decide it.
    mount, path = (
        next(str(values[name]) for _, values in reversed(checked) if name in values)
        for name in ("vault_mount", "vault_path")
    )
    return "Vault " + "/".join(filter(None, (mount, path, environment, "settings")))


def _accumulated(checked: Iterable[_Checked]) -> Iterator[_Checked]:
    """Let the tables of a layer add to those of the weaker ones."""
    so_far: dict[str, Any] = {}
    for origin, values in checked:
        tables: dict[str, Any] = {
            name: value for name, value in values.items() if BY_NAME[name].read is not None
        }
        for name, value in tables.items():
            so_far[name] = value.over(so_far[name]) if name in so_far else value
        yield origin, {**values, **{name: so_far[name] for name in tables}}


def _merge(checked: Iterable[_Checked]) -> dict[str, _Holder]:
    """Let later layers win over earlier ones, in a Dynaconf object that no one else sees."""
    # Loading Dynaconf takes 0.1 s, which a program that reads no settings need not pay.
    try:
        with unforked():
            from dynaconf.base import Settings as Merged
            from dynaconf.loaders.base import SourceMetadata
    except ValueError:
        broken = True
    else:
        broken = False
    if broken:
        raise ConfigurationError("an environment variable that ends in _FOR_DYNACONF is malformed")

    # The class itself and not the `Dynaconf` wrapper, which reads a .env file and reloads a
    # module that all threads share. With no loaders, only these options are ever looked at.
    merged = Merged(
        dynaconf_skip_loaders=True,
        dynaconf_skip_validators=True,
        APPLY_DEFAULT_ON_NONE_FOR_DYNACONF=None,
        AUTO_CAST_FOR_DYNACONF=False,
        DOTTED_LOOKUP_FOR_DYNACONF=False,
        ENVIRONMENTS_FOR_DYNACONF=False,
        FRESH_VARS_FOR_DYNACONF=[],
        INDEX_SEPARATOR_FOR_DYNACONF=None,
        LOADERS_FOR_DYNACONF=[],
        LOWERCASE_READ_FOR_DYNACONF=True,
        MERGE_ENABLED_FOR_DYNACONF=False,
        NESTED_SEPARATOR_FOR_DYNACONF=False,
        SYSENV_FALLBACK_FOR_DYNACONF=False,
        VALIDATE_ON_UPDATE_FOR_DYNACONF=False,
    )
    for origin, values in checked:
        holders = {name: _Holder(value, origin) for name, value in values.items()}
        merged.update(holders, loader_identifier=SourceMetadata("secureml", origin), merge=False)
    return {name: merged.get(name) for name in BY_NAME}
