"""Settings from all layers, merged by Dynaconf into one frozen object.

Each layer is a loader, read and checked before Dynaconf runs it, and each value is in a holder
that Dynaconf can't look into. So no ``@token`` is evaluated, nothing is cast, and the variables
and files that steer Dynaconf have nothing to act on. Nothing reads Dynaconf after the merge.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secureml.errors import ConfigurationError, IgnoredSettingWarning, warn
from secureml.forksafe import unforked
from secureml.settings.environments import ENVIRONMENTS, resolve
from secureml.settings.file_layers import file_layers, paths_to_read, read_files
from secureml.settings.host import Host, host_layer
from secureml.settings.layers import Layer
from secureml.settings.notices import Notice, exposed, ignored_files, ignored_variables
from secureml.settings.origins import Origin, Problem
from secureml.settings.packaged import packaged_layers
from secureml.settings.recipe import Layers
from secureml.settings.schema import BY_NAME, Settings, environment_violations
from secureml.settings.setting import collecting
from secureml.settings.variables import ENVIRONMENT_VARIABLE, set_variables

__all__ = ["ReadLayers", "load_settings", "read_layers"]


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
        declared: those that files have a section for.
        files: the files that were read, weakest first.
        chosen_by: what selected it.
        loaders: one for each layer, weakest first; that of Vault, at its place, is empty.
        problems: what is wrong with them, a sentence each.
        notices: what to warn of once the settings are in use.
        host: where the host's section came from, if there is one.
        section: that section.
    """

    environment: str | None
    environments: frozenset[str]
    declared: tuple[str, ...]
    files: tuple[Path, ...]
    chosen_by: str
    loaders: tuple[Layer, ...]
    problems: tuple[str, ...]
    notices: tuple[Notice, ...]
    host: Host | None
    section: object = field(repr=False)

    @property
    def host_changed(self) -> bool:
        """Whether the host has another section than the one that was read."""
        return self.host is not None and not self.host.is_still(self.section)

    def merged(self, vault_record: Mapping[str, object] | None = None) -> Settings:
        """Build the settings; nothing is read again.

        Args:
            vault_record: what the record ``settings`` in Vault holds, if it was read.

        Raises:
            ConfigurationError: with every problem of every layer, and the value of none.
        """
        loaders = self.loaders_with(vault_record)
        merged = list(_merge(loaders, self.environment))
        values: dict[str, Any] = {name: value for name, value, _ in merged}
        origins = {name: origin for name, _, origin in merged}
        problems = [
            *self.problems,
            *(p for each in loaders if each.from_vault for p in each.problems),
        ]
        with collecting(problems):
            settings = Settings(
                environment=self.environment,
                environments=self.environments,
                origins={**origins, "environment": self.chosen_by},
                **values,
            )
        if problems:
            raise ConfigurationError.of(list(dict.fromkeys(problems)))
        return settings

    def loaders_with(self, vault_record: Mapping[str, object] | None) -> tuple[Layer, ...]:
        """Return all layers, weakest first.

        Args:
            vault_record: what the record ``settings`` in Vault holds, if it was read.
        """
        record = self._vault_layer(vault_record or {})
        return tuple(record if layer.from_vault else layer for layer in self.loaders)

    def warn(self, settings: Settings) -> None:
        """Warn of what is ignored, and of secrets that others may read; of all that is new.

        Args:
            settings: those that were built of these layers.
        """
        files = [layer for layer in self.loaders if layer.file]
        for notice, category in (*self.notices, *exposed(settings, files)):
            warn(notice, category)

    def _vault_layer(self, record: Mapping[str, object]) -> Layer:
        # How Vault is reached is never set in Vault, so the other layers decide it.
        known = {name: value for layer in self.loaders for name, value in layer.values.items()}
        mount, path = (
            str(known.get(name, BY_NAME[name].default)) for name in ("vault_mount", "vault_path")
        )
        origin = "Vault " + "/".join(filter(None, (mount, path, self.environment, "settings")))
        return Layer(origin, record, textual=True, from_vault=True)


def read_layers(layers: Layers, *, environ: Mapping[str, str] | None = None) -> ReadLayers:
    """Read and check all layers but Vault's; what is wrong shows when they are merged.

    Args:
        layers: the recipe.
        environ: the environment variables, ``os.environ`` by default.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    wanted, chosen_by = layers.environment, "argument"
    if wanted is None:
        wanted = environ.get(ENVIRONMENT_VARIABLE) or None
        chosen_by = ENVIRONMENT_VARIABLE if wanted else "default"
    paths, passed_over, owners = paths_to_read(layers, environ, wanted, problems)
    files = read_files(paths, owners, problems)
    sections = dict.fromkeys(section for found in files.values() for section in found)
    declared = tuple(section for section in sections if section != "default")
    environment = None
    with collecting(problems):
        environment = None if wanted is None else resolve(wanted, declared)
    selected, others = file_layers(files, environment)
    host = layers.host if isinstance(layers.host, Host) else None
    section = None if host is None else host.settled()
    loaders = (
        *(Layer(origin, values) for origin, values in packaged_layers(environment).items()),
        *selected,
        host_layer(section or {}, problems),
        Layer("Vault", {}, from_vault=True),
        *(_variable_layer(environ, variables) for variables in set_variables(environ)),
        Layer("argument", layers.arguments),
    )
    problems += [problem for layer in (*loaders, *others) for problem in layer.problems]
    problems += [problem for layer in (*selected, *others) for problem in _below_the_floor(layer)]
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
        declared=declared,
        files=tuple(paths),
        chosen_by=chosen_by,
        loaders=loaders,
        problems=tuple(problems),
        notices=tuple(notices),
        host=host,
        section=section,
    )


def _variable_layer(environ: Mapping[str, str], variables: Mapping[str, str]) -> Layer:
    found = {name: environ[variable] for name, variable in variables.items()}
    return Layer("environment variable", found, origins=variables, textual=True)


def _below_the_floor(layer: Layer) -> list[Problem]:
    """Say what the floor forbids of the section of an environment, selected or not."""
    if layer.section == "default":
        return []
    # Which file takes the audit may be said in any layer.
    defaults = {name: setting.default for name, setting in BY_NAME.items()}
    whole = {**defaults, "audit_log": True, **layer.values}
    return environment_violations(layer.section, whole, dict.fromkeys(whole, layer.origin))


def _merge(loaders: Iterable[Layer], environment: str | None) -> Iterator[tuple[str, object, str]]:
    """Have Dynaconf run the loaders; yield what they set, by name, with its origin."""
    # Loading Dynaconf takes 0.1 s, which a program that reads no settings need not pay.
    try:
        with unforked():
            import dynaconf.base
    except ValueError:
        dynaconf = None
    if dynaconf is None:
        raise ConfigurationError("an environment variable that ends in _FOR_DYNACONF is malformed")

    # The class itself and not the `Dynaconf` wrapper, which reads a .env file and reloads a
    # module that all threads share.
    merged = dynaconf.base.Settings(
        dynaconf_skip_loaders=True,
        dynaconf_skip_validators=True,
        AUTO_CAST_FOR_DYNACONF=False,
        FRESH_VARS_FOR_DYNACONF=[],
        SILENT_ERRORS_FOR_DYNACONF=False,
    )
    # Dynaconf sets its own options, which variables steer, only in a load without a key. An empty
    # key means all settings to a loader, and leaves no options but those above.
    merged.execute_loaders(env=environment or "default", silent=False, key="", loaders=loaders)
    sources: dict[str, list[str]] = {}
    for entry in dynaconf.get_history(merged):
        for key in entry["value"]:
            sources.setdefault(key.lower(), []).append(entry["identifier"])
    for name, setting in BY_NAME.items():
        holder = merged.get(name)
        if holder is not None:
            first = 0 if setting.read is not None else -1
            yield name, holder.value, Origin.of(*sources[name][first:])
