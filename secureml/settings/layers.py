"""Layers of settings, weakest first, merged by Dynaconf into one frozen object.

This module alone imports Dynaconf, and leaves it nothing to interpret: files, variables, records
and arguments are read and checked here, and each value enters the merge in a holder that Dynaconf
can't look into. So no ``@token`` is evaluated, nothing is cast, and the variables and files that
steer Dynaconf have nothing to act on.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from secureml.errors import ConfigurationError, IgnoredSettingWarning, warn
from secureml.forksafe import unforked
from secureml.secret_types import conceal, reveal
from secureml.settings.environments import ENVIRONMENTS, Tier, canonical, resolve, tier_of
from secureml.settings.files import (
    FoundFiles,
    Sections,
    find_files,
    is_local,
    read_sections,
)
from secureml.settings.notices import Notice, exposed, ignored_files, ignored_variables
from secureml.settings.offers import BY_NAME, Offer, check, decisive
from secureml.settings.origins import Origin, Place
from secureml.settings.packaged import packaged_layers
from secureml.settings.schema import SETTINGS, Settings, environment_violations
from secureml.settings.setting import absolute
from secureml.settings.variables import ENVIRONMENT_VARIABLE, set_variables

__all__ = ["Layers", "ReadLayers", "load_settings", "read_layers"]

_Checked = tuple[Offer, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Layers:
    """The recipe for settings: what to read besides the environment variables and Vault.

    Args:
        files: the settings files, weakest first, instead of those found; they must exist. Of one
            that is named twice the last place counts.
        environment: the environment, instead of ``SECUREML_ENV``.
        host: a section of the host application's own settings, keys in any case. It is read at
            every load and never changed; entries that are None are passed over.
        arguments: settings given in code, above all layers; those that are None are passed over.

    Raises:
        TypeError: an argument has the wrong Python type.
        ConfigurationError: a path is relative and the working directory is gone.
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
            files = tuple(Path(absolute(str(Path(file)), "files")) for file in self.files)
            object.__setattr__(self, "files", files)
        arguments = {
            name: conceal(_located(name, value))
            for name, value in self.arguments.items()
            if value is not None
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
        environments: all that there are.
        chosen_by: what selected it.
        below: the layers below Vault's, weakest first.
        above: those above it.
        problems: what is wrong with them, a sentence each.
        notices: what to warn of once the settings are in use.
        files: the sections of settings files that are in force.
    """

    environment: str | None
    environments: frozenset[str]
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
            layers.insert(len(self.below), (record, check(record, problems)))
        merged = _merge(_accumulated(_decided(layers)))
        values: dict[str, Any] = {name: holder.value for name, holder in merged.items()}
        origins = {name: holder.origin for name, holder in merged.items()}
        problems += environment_violations(self.environment, values, origins)
        if problems:
            raise ConfigurationError.of(list(dict.fromkeys(problems)))
        return Settings(
            environment=self.environment,
            environments=self.environments,
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
    paths, passed_over, owners = _paths(layers, environ, wanted, problems)
    files = _read(paths, owners, problems)
    declared = {section for sections in files.values() for section in sections} - {"default"}
    environment = _environment(wanted, declared, problems)

    selected = _selected(files, environment)
    below = [*_packaged(environment), *selected]
    if layers.host is not None:
        below.append(Offer("host application", _given(reveal(layers.host), problems)))
    above = [
        Offer(
            "environment variable",
            {name: environ[variable] for name, variable in variables.items()},
            origins=variables,
            textual=True,
        )
        for variables in set_variables(environ)
    ]
    above.append(Offer("argument", layers.arguments))
    lower = [(offer, check(offer, problems)) for offer in below]
    upper = [(offer, check(offer, problems)) for offer in above]
    others = [(offer, check(offer, problems)) for offer in _unselected(files, environment)]
    for offer, values in (*lower, *others):
        problems += _below_the_floor(offer, values)

    notices: list[Notice] = [
        (f"{path} is not read in {environment}", IgnoredSettingWarning) for path in passed_over
    ]
    notices += ignored_variables(environ)
    searched = [path.parent for path in paths] or ([Path()] if layers.files is None else [])
    for folder in dict.fromkeys(searched):
        notices += ignored_files(folder, paths)
    return ReadLayers(
        environment=environment,
        environments=frozenset({*ENVIRONMENTS, *declared}),
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


def _located(name: str, value: object) -> object:
    """Make a path absolute: where it is relative to must not change with the working directory."""
    if name not in BY_NAME or not BY_NAME[name].is_path:
        return value
    path = reveal(value)
    path = os.fspath(path) if isinstance(path, os.PathLike) else path
    return absolute(path, name) if isinstance(path, str) and path else value


def _given(section: Mapping[str, object], problems: list[str]) -> dict[Any, object]:
    """Return what the host's section sets, by names in lower case."""
    given: dict[Any, object] = {}
    for spelling, value in section.items():
        name = spelling.lower() if isinstance(spelling, str) else spelling
        if value is None:
            continue
        if name in given:
            problems.append(f"host application: {name} is set in two spellings")
        given[name] = value
    return given


def _wanted(layers: Layers, environ: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the environment asked for, and what asks for it."""
    if layers.environment is not None:
        return layers.environment, "argument"
    variable = environ.get(ENVIRONMENT_VARIABLE)
    return (variable, ENVIRONMENT_VARIABLE) if variable else (None, "default")


def _paths(
    layers: Layers, environ: Mapping[str, str], wanted: str | None, problems: list[str]
) -> tuple[list[Path], list[Path], frozenset[int] | None]:
    """List the files to read, the local ones passed over, and who may own those that were found."""
    found = FoundFiles()
    if layers.files is None:
        try:
            found = find_files(environ)
        except ConfigurationError as error:
            problems.extend(error.problems)
    # Of a file that is named twice the last place counts.
    named = list(dict.fromkeys(reversed(layers.files or ())))[::-1]
    paths = [*named, *filter(None, [found.main])]
    beside = [found.local] if found.local else []
    if wanted is None or tier_of(wanted) is not Tier.STRICT:
        return [*paths, *beside], [], found.owners
    problems += [
        f"{path} is a local file, and none is read in {canonical(wanted)}: name another one"
        for path in paths
        if is_local(path)
    ]
    return [path for path in paths if not is_local(path)], beside, found.owners


def _read(
    paths: Iterable[Path], owners: frozenset[int] | None, problems: list[str]
) -> dict[Path, Sections]:
    files = {}
    for path in paths:
        try:
            files[path] = read_sections(path, owners)
        except ConfigurationError as error:
            problems.extend(error.problems)
    return files


def _environment(wanted: str | None, declared: Collection[str], problems: list[str]) -> str | None:
    if wanted is None:
        return None
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
        _section(path, section, sections[section], files)
        for path, sections in files.items()
        for section in chosen
        if section in sections
    ]


def _unselected(files: Mapping[Path, Sections], environment: str | None) -> list[Offer]:
    return [
        _section(path, section, values, files)
        for path, sections in files.items()
        for section, values in sections.items()
        if section not in {"default", environment}
    ]


def _section(
    path: Path, section: str, values: Mapping[str, object], files: Iterable[Path]
) -> Offer:
    namesakes = sum(other.name == path.name for other in files)
    words = f"{path.name if namesakes == 1 else path} [{section}]"
    return Offer(
        Origin(Place(words, path, section)),
        values,
        place=f"{path} [{section}]",
        file=path,
        section=section,
    )


def _below_the_floor(offer: Offer, values: Mapping[str, object]) -> list[str]:
    """Say what the floor forbids of the section of an environment, selected or not."""
    if offer.section in {None, "default"}:
        return []
    # Which file takes the audit may be said in any layer.
    whole = {**{name: BY_NAME[name].default for name in BY_NAME}, "audit_log": True, **values}
    return environment_violations(offer.section, whole, dict.fromkeys(whole, offer.origin))


def _vault_origin(checked: Sequence[_Checked], environment: str | None) -> str:
    # How Vault is reached is never set in Vault, so the other layers decide it.
    mount, path = (
        next(str(values[name]) for _, values in reversed(checked) if name in values)
        for name in ("vault_mount", "vault_path")
    )
    return "Vault " + "/".join(filter(None, (mount, path, environment, "settings")))


def _decided(checked: Sequence[_Checked]) -> list[_Checked]:
    """Leave settings that mean one thing to the strongest layer, above the declared defaults."""
    offers = [offer for offer, _ in checked]
    return [
        checked[0],
        *zip(offers[1:], decisive([values for _, values in checked[1:]]), strict=True),
    ]


def _accumulated(checked: Iterable[_Checked]) -> Iterator[_Checked]:
    """Let the tables of a layer add to those of the weaker ones."""
    so_far: dict[str, Any] = {}
    origins: dict[str, list[str]] = {}
    for offer, values in checked:
        tables: dict[str, Any] = {
            name: value for name, value in values.items() if BY_NAME[name].read is not None
        }
        yield offer, {name: value for name, value in values.items() if name not in tables}
        for name, value in tables.items():
            so_far[name] = value.over(so_far[name]) if name in so_far else value
            said = origins.setdefault(name, [])
            if value:
                said.append(offer.origin)
            origin = Origin.of(*(said or [offer.origin]))
            yield replace(offer, origin=origin), {name: so_far[name]}


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
    for offer, values in checked:
        holders = {name: _Holder(value, offer.origin_of(name)) for name, value in values.items()}
        source = SourceMetadata("secureml", offer.origin)
        merged.update(holders, loader_identifier=source, merge=False)
    return {name: merged.get(name) for name in BY_NAME}
