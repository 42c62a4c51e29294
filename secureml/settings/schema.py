"""The one table of settings: names, types, defaults, and what each is for.

`Settings` is the table; validation, the environment variables, ``settings show``, the JSON schema
and the reference page are all made from it.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from secureml.concealed import SecretText
from secureml.errors import ConfigurationError
from secureml.settings.checks import check_namespace, check_path, check_token, check_url
from secureml.settings.environments import NAME_RULE, Tier, canonical, is_name, tier_of
from secureml.settings.setting import Setting, normalized

__all__ = ["RESERVED_SECRET_NAMES", "SETTINGS", "Settings", "floor_problem", "is_reserved"]


def _about(doc: str, **traits: Any) -> dict[str, Any]:
    return {"doc": doc, **traits}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one moment, checked as a whole and unchangeable.

    Args:
        environment: the selected environment, or None.
        origins: where each value comes from, by the setting's name.

    Raises:
        ConfigurationError: a value does not fit, or the environment does not allow it.
    """

    environment: str | None = None
    vault_url: str | None = field(
        default=None, metadata=_about("Address of the Vault or OpenBao server.", check=check_url)
    )
    vault_token: SecretText | None = field(
        default=None,
        metadata=_about("Token to log in with; keep it out of settings files.", check=check_token),
    )
    vault_token_file: str | None = field(
        default=None,
        metadata=_about(
            "File that holds the token; read again when the token is refused.", is_path=True
        ),
    )
    vault_path: str = field(
        default="secureml",
        metadata=_about("Path under the mount below which the secrets lie.", check=check_path),
    )
    vault_mount: str = field(
        default="secret",
        metadata=_about("Where the KV version 2 engine is mounted.", check=check_path),
    )
    vault_namespace: str | None = field(
        default=None,
        metadata=_about("Namespace in Vault Enterprise or OpenBao.", check=check_namespace),
    )
    vault_auth: str = field(default="token", metadata=_about("How to log in.", allowed=("token",)))
    vault_timeout: float = field(
        default=5.0, metadata=_about("Seconds that a request may take in all.", above=0.0)
    )
    vault_ca_cert: str | None = field(
        default=None, metadata=_about("File or folder of CA certificates to trust.", is_path=True)
    )
    vault_settings: bool = field(
        default=False,
        metadata=_about("Whether to read further settings from the record `settings` in Vault."),
    )
    master_key_name: str = field(
        default="master_key",
        metadata=_about("The key used where none is named.", check=check_path, vault_may_set=True),
    )
    use_env_fallback: bool = field(
        default=True,
        metadata=_about(
            "Whether an environment variable may stand in for a secret that Vault lacks."
        ),
    )
    use_default_fallback: bool = field(
        default=False,
        metadata=_about("Whether development may fall back on a public, worthless default secret."),
    )
    cache_ttl: float = field(
        default=300.0,
        metadata=_about(
            "Seconds for which a fetched secret is reused.", minimum=0.0, vault_may_set=True
        ),
    )
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        problems = []
        origins = {"environment": "default" if self.environment is None else "argument"}
        if self.environment is not None:
            object.__setattr__(self, "environment", canonical(self.environment))
            if not is_name(canonical(self.environment)):
                problems.append(f"the name of an environment is {NAME_RULE}")
        for declared in SETTINGS:
            value = getattr(self, declared.name)
            origins[declared.name] = "default" if value == declared.default else "argument"
            try:
                object.__setattr__(self, declared.name, declared.convert(value))
            except ConfigurationError as error:
                problems.append(str(error))
        object.__setattr__(self, "origins", _Origins({**origins, **self.origins}))
        floor = floor_problem(
            self.environment, self.use_default_fallback, self.origins["use_default_fallback"]
        )
        if floor:
            problems.append(floor)
        if problems:
            raise ConfigurationError.of(problems)

    def describe(self) -> list[tuple[str, str, str]]:
        """List every setting for a person to read.

        Returns:
            Name, value (secrets as ``<hidden>``) and origin of each, the environment first.
        """
        rows = [("environment", self.environment or "<not set>", self.origins["environment"])]
        for declared in SETTINGS:
            shown = declared.shown(getattr(self, declared.name))
            rows.append((declared.name, shown, self.origins[declared.name]))
        return rows


def floor_problem(environment: str | None, use_default_fallback: bool, origin: str) -> str | None:
    """Say why development defaults may not be used, where they may not.

    Args:
        environment: the selected environment, or None.
        use_default_fallback: the setting's value after all layers.
        origin: the layer that it comes from.

    Returns:
        The problem, or None. No layer can lift this: it is code, not configuration. Outside
        development it may be true only by a Python argument, and only where no environment is
        selected.
    """
    if not use_default_fallback or tier_of(environment) is Tier.DEVELOPMENT:
        return None
    if environment is not None:
        return f"use_default_fallback can't be true in {environment} (set by: {origin})"
    if origin == "argument":
        return None
    return (
        "use_default_fallback can be true only in development, or by a Python argument where no "
        f"environment is selected (set by: {origin})"
    )


def is_reserved(name: str) -> bool:
    """Tell whether a secret may not have this name, because its variable means something else.

    Args:
        name: a secret's name; that of a setting, or one that ends in ``_file``, is reserved.
    """
    stem = normalized(name)
    return stem in RESERVED_SECRET_NAMES or stem.endswith("_FILE")


class _Origins(Mapping[str, str]):
    """A read-only mapping that, unlike a mapping proxy, can be copied and pickled."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str]) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> str:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)


def _declared() -> Iterator[Setting]:
    hints = typing.get_type_hints(Settings)
    for column in dataclasses.fields(Settings):
        if column.name in {"environment", "origins"}:
            continue
        kinds = typing.get_args(hints[column.name]) or (hints[column.name],)
        yield Setting(
            name=column.name,
            kind=kinds[0],
            optional=type(None) in kinds,
            default=column.default,
            **column.metadata,
        )


SETTINGS: tuple[Setting, ...] = tuple(_declared())

RESERVED_SECRET_NAMES: frozenset[str] = frozenset(
    {"ENV", "ENVIRONMENT", "SETTINGS", "SETTINGS_FILE"}
    | {normalized(declared.name) for declared in SETTINGS}
)
