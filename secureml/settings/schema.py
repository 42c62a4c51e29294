"""The one table of settings: names, types, defaults, and what each is for.

`Settings` is the table; validation, the environment variables, ``settings show``, the JSON schema
and the reference page are all made from it.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from secureml.errors import ConfigurationError
from secureml.notebooks import html_table
from secureml.secret_types import SecretText, conceals, reveal
from secureml.settings import checks
from secureml.settings.environments import (
    ENVIRONMENTS,
    NAME_RULE,
    Tier,
    canonical,
    is_name,
    tier_of,
)
from secureml.settings.origins import Origin, Problem
from secureml.settings.packaged import default_in, is_default
from secureml.settings.rules import Profiles, Rules
from secureml.settings.run_secrets import RunSecrets
from secureml.settings.setting import Setting, collecting, normalized

__all__ = [
    "BY_NAME",
    "RESERVED_SECRET_NAMES",
    "RIVALS",
    "SETTINGS",
    "Settings",
    "check_key_name",
    "clashes",
    "environment_violations",
    "is_reserved",
]

KEY_BACKENDS = ("kv", "transit")

LOGIN_METHODS = (
    "token",
    "token_file",
    "approle",
    "ldap",
    "userpass",
    "kubernetes",
    "jwt",
    "cert",
    "none",
)


_BY_TIER: Any = None
"""The default of a setting whose packaged default the environment decides."""


def check_key_name(text: str, what: str) -> str:
    """Return the name of a key, or refuse it; that of a setting can't be one."""
    if is_reserved(checks.check_path(text, what)):
        raise ConfigurationError(f"{what} can't be the name of a setting, nor end in '_file'")
    return text


def _setting(default: Any, doc: str, /, **traits: Any) -> Any:
    return field(default=default, metadata={"doc": doc, **traits})


def _secret(group: str, doc: str, **traits: Any) -> Any:
    doc = f"{doc.removesuffix('.')}; keep it out of settings files."
    return _setting(None, doc, group=group, exclusive=True, **traits)


def _secret_file(group: str, doc: str) -> Any:
    return _setting(None, doc, group=group, exclusive=True, is_path=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one moment, checked as a whole and unchangeable.

    Args:
        environment: the selected environment, or None.
        environments: all that there are: the three, and those that settings files declare.
        origins: where each value comes from, by the setting's name.

    Raises:
        ConfigurationError: a value does not fit, or the environment does not allow it.
    """

    environment: str | None = None
    vault_url: str | None = _setting(
        None,
        "Address of the Vault or OpenBao server; several with commas between are tried in "
        "turn, and `unix:///path` is a socket.",
        check=checks.check_urls,
    )
    vault_token: SecretText | None = _secret(
        "token", "Token to log in with.", check=checks.check_token
    )
    vault_token_file: str | None = _secret_file(
        "token", "File that holds the token; read again when the token is refused."
    )
    vault_path: str = _setting(
        "secureml", "Path under the mount below which the secrets lie.", check=checks.check_path
    )
    vault_mount: str = _setting(
        "secret", "Where the KV version 2 engine is mounted.", check=checks.check_path
    )
    vault_transit_mount: str = _setting(
        "transit", "Where the transit engine is mounted.", check=checks.check_path
    )
    vault_transit_key: str | None = _setting(
        None,
        "Transit key that wraps new keys, if not one for each of them, named after its path.",
        check=checks.check_transit_key,
    )
    vault_namespace: str | None = _setting(
        None, "Namespace in Vault Enterprise or OpenBao.", check=checks.check_namespace
    )
    vault_auth: str = _setting("token", "How to log in.", allowed=LOGIN_METHODS)
    vault_auth_mount: str | None = _setting(
        None,
        "Where the login method is mounted, if not under its own name.",
        check=checks.check_path,
    )
    vault_role: str | None = _setting(
        None,
        "Role to log in with: kubernetes, jwt, cert; with approle, the role that a wrapped "
        "secret ID must be for.",
        check=checks.check_name,
    )
    vault_role_id: str | None = _setting(None, "Role ID of an AppRole.", check=checks.check_token)
    vault_secret_id: SecretText | None = _secret("secret ID", "Secret ID of an AppRole.")
    vault_secret_id_file: str | None = _secret_file("secret ID", "File that holds the secret ID.")
    vault_secret_id_wrapped: bool = _setting(
        False, "Whether what is given as secret ID is a wrapping token for it."
    )
    vault_username: str | None = _setting(
        None, "User name for ldap and userpass.", check=checks.check_name
    )
    vault_password: SecretText | None = _secret("password", "Password for ldap and userpass.")
    vault_password_file: str | None = _secret_file("password", "File that holds the password.")
    vault_jwt: SecretText | None = _secret("JWT", "JWT to log in with.", check=checks.check_token)
    vault_jwt_file: str | None = _secret_file(
        "JWT", "File that holds the JWT; for kubernetes the pod's own, by default."
    )
    vault_client_cert: str | None = _setting(
        None,
        "PEM file of the client certificate, for TLS and cert.",
        is_path=True,
        group="client certificate",
    )
    vault_client_key: str | None = _setting(
        None,
        "PEM file of its private key, if not in vault_client_cert.",
        is_path=True,
        group="client certificate",
    )
    vault_timeout: float = _setting(5.0, "Seconds that a request may take in all.", above=0.0)
    vault_connect_timeout: float = _setting(
        2.0, "Seconds that it may take to reach one address.", above=0.0
    )
    vault_max_response_bytes: int = _setting(
        16 * 1024 * 1024, "Bytes that an answer may have, once it is inflated.", minimum=1024
    )
    vault_tls_verify: bool = _setting(
        True, "Whether Vault must prove who it is; false only in development."
    )
    vault_tls_server_name: str | None = _setting(
        None, "Name on Vault's certificate, if not that of its host.", check=checks.check_host
    )
    vault_proxy: str | None = _setting(
        None,
        "Address of a proxy, or `environment` for the one that the usual variables name; "
        "otherwise these are not used.",
        check=checks.check_proxy,
    )
    vault_cluster_hosts: str | None = _setting(
        None,
        "Further hosts, with commas between, that Vault may redirect to.",
        check=checks.check_hosts,
    )
    vault_ca_cert: str | None = _setting(
        None, "File or folder of CA certificates to trust.", is_path=True
    )
    vault_settings: bool = _setting(
        False, "Whether to read further settings from the record `settings` in Vault."
    )
    settings_ttl: float = _setting(
        60.0, "Seconds after which that record is read again.", minimum=1.0, vault_may_set=True
    )
    master_key_name: str = _setting(
        "master_key", "The key used if none is named.", check=check_key_name, vault_may_set=True
    )
    key_backend: str = _setting(
        "kv",
        "How new keys are kept: `kv` as they are, `transit` wrapped under a key that never "
        "leaves Vault.",
        allowed=KEY_BACKENDS,
        vault_may_set=True,
    )
    use_env_fallback: bool = _setting(
        _BY_TIER,
        "Whether an environment variable may stand in for a secret that Vault lacks.",
        default=True,
    )
    use_default_fallback: bool = _setting(
        False, "Whether development may fall back on a public, worthless default secret."
    )
    cache_ttl: float = _setting(
        300.0, "Seconds for which a fetched secret is reused.", minimum=0.0, vault_may_set=True
    )
    cache_size: int = _setting(
        1024,
        "How many fetched secrets are held; the one not used for longest goes first.",
        minimum=1,
        vault_may_set=True,
    )
    cache_max_uses: int = _setting(
        0,
        "How often a fetched secret is reused; 0 is any number of times.",
        minimum=0,
        vault_may_set=True,
    )
    cache_negative_ttl: float = _setting(
        1.0,
        "Seconds for which Vault is not asked again for a secret that it does not have; at "
        "most `cache_ttl`.",
        minimum=0.0,
        vault_may_set=True,
    )
    stale_ttl: float = _setting(
        0.0,
        "Seconds for which a secret that was read before is served while Vault is down.",
        minimum=0.0,
        vault_may_set=True,
    )
    job_start_jitter: float = _setting(
        0.0,
        "Seconds up to which a worker of a cluster waits, by chance, before it reads the key of a "
        "job, so that a fleet does not ask Vault all at once.",
        minimum=0.0,
    )
    columns: Rules = _setting(
        Rules(),
        'Rules by column: a table for each name, or pattern such as `"*email*"`.',
        read=Rules.read,
    )
    profiles: Profiles = _setting(
        Profiles(),
        "What holds for one recipient, by name: rules in `profiles.<name>.columns`, and a "
        "`domain_prefix`; `profile=` selects one.",
        read=Profiles.read,
    )
    domain_prefix: str | None = _setting(
        None,
        "What sets the domains of all columns apart from those of others, such as the name of "
        "a recipient: equal values then have other pseudonyms.",
    )
    strict_columns: bool = _setting(False, "Whether a column that no rule names is an error.")
    run: RunSecrets = _setting(
        RunSecrets(),
        "Secrets that `secureml run` hands to a program, by environment variable.",
        read=RunSecrets.read,
    )
    audit_log: str | None = _setting(
        None, "File that takes a line of JSON for each access to a key.", is_path=True
    )
    audit_required: bool = _setting(
        False, "Whether an access fails when `audit_log` can't take its line."
    )
    known_keys: str | None = _setting(
        None,
        "File that remembers which versions of keys were seen, so that a Vault that went back "
        "is noticed; by default `secureml/known_keys` in `XDG_STATE_HOME`.",
        is_path=True,
    )
    environments: frozenset[str] = field(default=frozenset(ENVIRONMENTS), repr=False, compare=False)
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        problems: list[str] = []
        chosen_by = "default" if self.environment is None else "argument"
        values: dict[str, object] = {}
        if self.environment is not None:
            object.__setattr__(self, "environment", canonical(self.environment))
            if not is_name(canonical(self.environment)):
                problems.append(f"the name of an environment is {NAME_RULE}")
        origins = {"environment": self._kept_origin("environment") or chosen_by}
        for declared in SETTINGS:
            value = getattr(self, declared.name)
            if value is not None or default_in(self.environment, declared.name) is None:
                object.__setattr__(self, declared.name, declared.default)
                with collecting(problems):
                    object.__setattr__(self, declared.name, declared.convert(value))
            values[declared.name], origins[declared.name] = self._given(declared)
            object.__setattr__(self, declared.name, values[declared.name])
        known = {**values, "environment": self.environment}
        object.__setattr__(self, "origins", _Origins(origins, known))
        given = {name for name, value in values.items() if value is not None}
        problems += [problem for _, problem in clashes(given)]
        problems += environment_violations(self.environment, values, self.origins)
        if problems:
            raise ConfigurationError.of(problems)

    def _given(self, declared: Setting) -> tuple[object, str]:
        """Return the value of a setting and its origin, as the environment's tier has it.

        A packaged default that comes along from settings of another environment is none here.
        """
        value, origin = getattr(self, declared.name), self._kept_origin(declared.name)
        packaged = default_in(self.environment, declared.name)
        if packaged is not None and (value is None or is_default(declared.name, value, origin)):
            return packaged
        untouched = packaged is None and value == declared.default
        return value, origin or ("default" if untouched else "argument")

    def _kept_origin(self, name: str) -> str | None:
        """Return the origin that a value comes with; None if it is not that value any more."""
        origins, value = self.origins, getattr(self, name)
        if not isinstance(origins, _Origins):
            return origins.get(name)
        return origins[name] if origins.is_of(name, value) else None

    def _repr_html_(self) -> str:
        return html_table(("setting", "value", "origin"), self.describe())

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


def environment_violations(
    environment: str | None, values: Mapping[str, object], origins: Mapping[str, str]
) -> list[Problem]:
    """Say what an environment does not allow, whatever layer asks for it.

    Development defaults are allowed in development, or if a Python argument asks for them while no
    environment is selected. An audit that is required has a file. Vault proves who it is, except in
    development. In production, and in environments that a user declares, nothing travels
    unencrypted to another machine.

    Args:
        environment: the selected environment, or None.
        values: the settings after all layers.
        origins: the layer that each comes from.

    Returns:
        One sentence for each problem. No layer can lift these: they are code, not configuration.
    """
    problems: list[Problem] = []

    def refuse(name: str, why: str) -> None:
        text, place = f"{name} {why}", Origin.of(origins[name]).places[-1]
        problems.append(
            Problem(f"{text} (set by: {origins[name]})", text, place=place, keys=[name])
        )

    if values["audit_required"] and not values["audit_log"]:
        refuse("audit_required", "needs audit_log, which names the file")
    folder = str(values["master_key_name"]).split("/", 1)[0]
    if environment is None and folder in ENVIRONMENTS:
        refuse("master_key_name", f"lies in an environment's folder; select {folder} instead")
    if tier_of(environment) is Tier.DEVELOPMENT:
        return problems
    if values["use_default_fallback"] and environment is not None:
        refuse("use_default_fallback", f"can't be true in {environment}")
    elif values["use_default_fallback"] and origins["use_default_fallback"] != "argument":
        only = "can be true only in development, or by a Python argument"
        refuse("use_default_fallback", f"{only} if no environment is selected")
    if not values["vault_tls_verify"]:
        refuse("vault_tls_verify", "can be false only in development")
    if tier_of(environment) is Tier.STRICT and environment is not None:
        urls = str(values["vault_url"] or "").split(",")
        if any(url.lower().startswith("http://") and not checks.is_loopback(url) for url in urls):
            refuse("vault_url", f"can't be plain http to another machine in {environment}")
    return problems


def clashes(names: Collection[str]) -> Iterator[tuple[list[str], str]]:
    """Find settings that exclude each other among those of one layer.

    Args:
        names: those that the layer sets.

    Yields:
        The settings concerned, and a sentence about them.
    """
    for rivals in RIVALS:
        several = [name for name in rivals if name in names]
        if len(several) > 1:
            yield several, f"{' and '.join(several)} exclude each other; set one of them"


def is_reserved(name: str) -> bool:
    """Tell whether a secret may not have this name, because its variable means something else.

    Args:
        name: a secret's name; that of a setting, or one that ends in ``_file``, is reserved.
    """
    stem = normalized(name)
    return stem in RESERVED_SECRET_NAMES or stem.endswith("_FILE")


class _Origins(Mapping[str, str]):
    """The origins of some values, read-only.

    Unlike a mapping proxy it can be copied and pickled, without secrets. It knows its values, as
    `dataclasses.replace` hands on the origins of values that it replaces.
    """

    __slots__ = ("_items", "_values")

    def __init__(self, items: Mapping[str, str], values: Mapping[str, object]) -> None:
        self._items = dict(items)
        self._values = dict(values)

    def is_of(self, name: str, value: object) -> bool:
        """Tell whether this is the value whose origin is known."""
        return bool(reveal(self._values.get(name)) == reveal(value))

    def __reduce__(self) -> tuple[object, ...]:
        plain = {n: v for n, v in self._values.items() if not isinstance(v, SecretText)}
        return _Origins, (self._items, plain)

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
        if column.name in {"environment", "environments", "origins"}:
            continue
        kinds = typing.get_args(hints[column.name]) or (hints[column.name],)
        yield Setting(
            name=column.name,
            kind=kinds[0],
            optional=type(None) in kinds,
            **{"default": column.default, **column.metadata},
        )


SETTINGS: tuple[Setting, ...] = tuple(_declared())

BY_NAME: Mapping[str, Setting] = MappingProxyType({each.name: each for each in SETTINGS})

RIVALS: tuple[tuple[str, ...], ...] = tuple(
    tuple(each.name for each in SETTINGS if each.exclusive and each.group == group)
    for group in dict.fromkeys(each.group for each in SETTINGS if each.exclusive)
)
"""Settings that exclude each other in one layer."""

# An address may hold credentials, for which it is refused. The constructor is replaced by itself
# with these concealed, which mypy takes for another method.
_concealed = {declared.name for declared in SETTINGS if declared.secret} | {
    "vault_url",
    "vault_proxy",
}
Settings.__init__ = conceals(*_concealed)(Settings.__init__)  # type: ignore[method-assign]  # see above

RESERVED_SECRET_NAMES: frozenset[str] = frozenset(
    {"ENV", "ENVIRONMENT", "SETTINGS", "SETTINGS_FILE"}
    | {normalized(declared.name) for declared in SETTINGS}
)
