"""A loader that fills anybody's Dynaconf settings from a record in Vault.

    settings = Dynaconf(
        environments=True,
        loaders=["dynaconf.loaders.env_loader", "secureml.dynaconf"],
    )

The record is ``<vault_mount>/<vault_path>/<environment>/dynaconf``; each of its fields is a
setting. How Vault is reached is among secureml's own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dynaconf.loaders.base import SourceMetadata

from secureml.configuration.process import current_layers, open_store
from secureml.errors import ConfigurationError
from secureml.secret_types import revealed
from secureml.settings import Layers, check_path, load_settings

__all__ = ["load"]

_OWN_NAMES = frozenset({"DYNABOXIFY", "SETTINGS_MODULE", "YAML"})
"""Settings that steer Dynaconf without being named after it."""


def load(
    obj: Any,
    env: str | None = None,
    silent: bool = True,
    key: str | None = None,
    filename: str | None = None,
) -> None:
    """Fill a settings object of Dynaconf from Vault.

    Texts stay as they are: no ``@token`` in them is evaluated. What the record sets replaces what
    loaders before this one have set. An absent record sets nothing.

    Args:
        obj: the settings object. Its section ``secureml``, if there is one, counts as that of the
            host application, and its setting ``SECUREML_RECORD`` names another record.
        env: the environment whose record is read, if the object has environments; otherwise the
            one that secureml has selected decides.
        silent: ignored: every failure is raised, as settings without their secrets are wrong ones.
        key: the only setting to load; all by default.
        filename: ignored.

    Raises:
        ConfigurationError: secureml's settings are wrong, name no Vault or don't know the
            environment, or the record has a field that no setting can be.
        SecretError: the record can't be read, or is deleted.
    """
    name = check_path(obj.get("SECUREML_RECORD", "dynaconf"), "SECUREML_RECORD")
    settings = load_settings(_layers(obj, env))
    store = open_store(settings)
    if store is None:
        raise ConfigurationError("secureml.dynaconf reads Vault, and vault_url is not set")
    try:
        outcome, path = store.read(name), store.path_of(name)
    finally:
        store.close()
    if outcome.error is not None:
        raise outcome.error
    if outcome.record is None:
        return
    fields = {field.upper(): value for field, value in revealed(outcome.record.fields).items()}
    if len(fields) < len(outcome.record.fields) or not all(map(_is_setting, fields)):
        del fields
        raise ConfigurationError(
            f"{path}: a field has a name that no setting can have, or two spellings of one"
        )
    kind = type(obj.store)
    values = fields if kind is dict else kind(fields, box_settings=obj)
    source = SourceMetadata("secureml", path, settings.environment or "default")
    for field in fields if key is None else fields.keys() & {key.upper()}:
        # What is given to `set` is parsed, and stands in the history; what is in the store is not.
        obj.set(field, "<hidden>", loader_identifier=source, merge=False)
        obj.store[field] = values[field]


def _layers(obj: Any, env: str | None) -> Layers:
    """Return the recipe of secureml's settings for the environment that is being loaded."""
    has_environments = bool(obj.get("ENVIRONMENTS_FOR_DYNACONF"))
    layers = current_layers(env or obj.current_env if has_environments else None, {})
    section = obj.get("SECUREML")
    return replace(layers, host=dict(section)) if isinstance(section, Mapping) else layers


def _is_setting(name: str) -> bool:
    steers = "DYNACONF" in name or name in _OWN_NAMES or name.startswith("SECUREML")
    return name.isidentifier() and "__" not in name and not steers
