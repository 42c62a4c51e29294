"""The policies that production needs, as HCL: who may do what to the keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from secureml.errors import ConfigurationError

__all__ = ["KeyLayout", "bootstrap_policy", "wrapping_in"]

_UNSAFE = frozenset('*"{}$')

_Rule = tuple[str, Sequence[str]]

_Wrapping = tuple[str, str | None]
"""A transit mount, and the transit key that wraps every key there; None if each has its own."""

_WRAPPING_RULE = re.compile(r'path "([^"*+{}$]+)/(?:decrypt|rewrap)/([^"+{}$]+)"')

_HARMLESS_TRAITS = """\
  allowed_parameters = {
    "type" = ["aes256-gcm96"]
    "derived" = [true]
    "exportable" = [false]
    "allow_plaintext_backup" = [false]
  }
"""
"""The parameters that a transit key may be made with: others would let it leave Vault."""

# What a token without the default policy must be allowed: to see and renew itself, to give itself
# up, and to ask what it may do.
_SELF: tuple[_Rule, ...] = (
    ("auth/token/lookup-self", ("read",)),
    ("auth/token/renew-self", ("update",)),
    ("auth/token/revoke-self", ("update",)),
    ("sys/capabilities-self", ("update",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLayout:
    """Where things are, and what they are called.

    Args:
        mount: where the KV v2 engine is mounted.
        path: the path under it below which each environment has a folder.
        environments: the environments' names.
        approle: where the AppRole auth method is mounted.
        prefix: what the names of policies and roles begin with.
        transit: where the transit engine is mounted; None if none wraps keys.
        transit_key: the transit key that wraps every key; None if each has its own.
        kept: other transit mounts and keys that the policies go on to allow.

    Raises:
        ConfigurationError: a name holds what a policy would take for a pattern, or the path a dot
            that the names of transit keys could not tell from a slash.
    """

    mount: str
    path: str
    environments: tuple[str, ...]
    approle: str = "approle"
    prefix: str = "secureml"
    transit: str | None = None
    transit_key: str | None = None
    kept: tuple[_Wrapping, ...] = ()

    def __post_init__(self) -> None:
        names = {
            "vault_mount": self.mount,
            "vault_path": self.path,
            "the mount of AppRole": self.approle,
            "the prefix": self.prefix,
            "vault_transit_mount": self.transit or "",
        }
        problems = [
            f"{what} can't be part of a policy: it holds '+' alone between slashes, or one of "
            f"{' '.join(sorted(_UNSAFE))}"
            for what, text in names.items()
            if "+" in text.split("/") or not _UNSAFE.isdisjoint(text)
        ]
        if self.transit and not self.transit_key and "." in self.path:
            problems.append("vault_path can't hold a dot if transit keys are named after it")
        if problems:
            raise ConfigurationError.of(problems)

    @property
    def wrappings(self) -> tuple[_Wrapping, ...]:
        """Each transit mount and key that the policies allow, the one for new keys first."""
        own = () if self.transit is None else ((self.transit, self.transit_key),)
        return tuple(dict.fromkeys((*own, *self.kept)))

    def folder(self, environment: str | None) -> str:
        """Return the folder of an environment's keys."""
        return "/".join(filter(None, (self.path, environment)))

    def transit_keys(self, environment: str, key: str | None = None) -> str:
        """Return the names of an environment's transit keys as a policy has them.

        Args:
            environment: the environment.
            key: the one that wraps every key, if there is one.
        """
        return key or f"{self.folder(environment).replace('/', '.')}.*"

    @property
    def parents(self) -> tuple[str, ...]:
        """The folders of the mount that lead to the path, each with its closing slash."""
        segments = self.path.split("/")
        return tuple("".join(f"{name}/" for name in segments[:n]) for n in range(len(segments)))

    @property
    def policies(self) -> dict[str, str]:
        """Each policy's HCL by its name."""
        return {**self.key_policies, self.bootstrap_policy_name: bootstrap_policy(self)}

    @property
    def key_policies(self) -> dict[str, str]:
        """Those of them that are about keys."""
        environments = self.environments
        return (
            {self.policy_name("read", name): _read_policy(self, name) for name in environments}
            | {
                self.policy_name("admin", name): _administration_policy(self, name)
                for name in (*environments, None)
            }
            | {
                self.policy_name("rotate", name): _rotation_policy(self, name)
                for name in (environments if self.wrappings else ())
            }
        )

    def policy_name(self, what: str, environment: str | None) -> str:
        """Return the name of the policy that allows something.

        Args:
            what: ``read``, ``admin`` to make, rotate and destroy keys, or ``rotate``.
            environment: the environment; None for keys that are in none.
        """
        return f"{self.prefix}-{environment or 'keys'}-{what}"

    @property
    def bootstrap_policy_name(self) -> str:
        """The name of the policy that setting all this up takes."""
        return f"{self.prefix}-bootstrap"

    def role(self, environment: str) -> str:
        """Return the name of an environment's AppRole."""
        return f"{self.prefix}-{environment}"

    def role_path(self, environment: str) -> str:
        """Return the API path of an environment's AppRole."""
        return f"auth/{self.approle}/role/{self.role(environment)}"


def wrapping_in(policies: Iterable[str]) -> tuple[_Wrapping, ...]:
    """Return the transit mounts and keys for which policies have rules.

    Args:
        policies: policies as HCL.
    """
    rules = [found.groups() for policy in policies for found in _WRAPPING_RULE.finditer(policy)]
    return tuple(dict.fromkeys((mount, None if "*" in key else key) for mount, key in rules))


def bootstrap_policy(layout: KeyLayout) -> str:
    """Return the least that setting all this up takes, once this policy itself is there.

    It reads no key, makes no secret_id, and can't change itself. Whoever may write policies and
    roles can still give rights to others, so its tokens are for operators.

    Args:
        layout: what is to be set up.
    """
    mount, path = layout.mount, layout.path
    mounts = dict.fromkeys((mount, *(transit for transit, _ in layout.wrappings)))
    roles = [layout.role_path(name) for name in layout.environments]
    return _policy(
        "Sets up the mount, the policies and the roles; reads no key.",
        ("sys/mounts", ("read",)),
        *((f"sys/mounts/{name}", ("update",)) for name in mounts),
        *((f"{transit}/keys", ("list",)) for transit, key in layout.wrappings if not key),
        *(
            (f"{transit}/keys/{layout.transit_keys(environment, key)}", ("read",))
            for transit, key in layout.wrappings
            for environment in (layout.environments if not key else layout.environments[:1])
        ),
        (f"{mount}/config", ("read", "update")),
        *((f"{mount}/metadata/{parent}", ("list",)) for parent in layout.parents),
        (f"{mount}/metadata/{path}/*", ("list", "read", "update")),
        (f"{mount}/undelete/{path}/*", ("update",)),
        *((f"sys/policies/acl/{name}", ("read", "update")) for name in layout.key_policies),
        (f"sys/policies/acl/{layout.bootstrap_policy_name}", ("read",)),
        ("sys/auth", ("read",)),
        (f"sys/auth/{layout.approle}", ("sudo", "update")),
        *((role, ("create", "read", "update")) for role in roles),
        *((f"{role}/role-id", ("read",)) for role in roles),
        ("sys/audit", ("read", "sudo")),
        *_SELF,
    )


def _read_policy(layout: KeyLayout, environment: str) -> str:
    """Return the policy of an application: it reads and lists the keys of one environment."""
    folder = f"{layout.path}/{environment}/*"
    return _policy(
        f"Reads the keys of {environment}.",
        (f"{layout.mount}/data/{folder}", ("read",)),
        (f"{layout.mount}/metadata/{folder}", ("list", "read")),
        *_transit_rules(layout, ("decrypt",), environment),
        *_SELF,
    )


def _administration_policy(layout: KeyLayout, environment: str | None) -> str:
    """Return the policy of those who make, rotate and destroy the keys of one environment.

    It reads keys, except those that a transit engine wraps: these it makes and rewraps, and does
    not unwrap. It can't delete a key's metadata, which would take every version with it at once.
    For keys in no environment it wraps none: the names of transit keys don't tell those apart.
    """
    sections = {
        "data": ("create", "read", "update"),
        "metadata": ("create", "list", "patch", "read", "update"),
        "delete": ("update",),
        "undelete": ("update",),
        "destroy": ("update",),
    }
    # A plus sign is one segment: the folders of environments are beside these keys.
    names = f"{layout.folder(environment)}/{'*' if environment else '+'}"
    whose = f"keys of {environment}" if environment else "keys that are in no environment"
    operations = ("datakey/plaintext", "encrypt", "rewrap")
    return _policy(
        f"Makes, rotates and destroys {whose}.",
        *(
            (f"{layout.mount}/{section}/{names}", capabilities)
            for section, capabilities in sections.items()
        ),
        (f"{layout.mount}/config", ("read",)),
        *([] if environment else [(f"{layout.mount}/metadata/{layout.path}", ("list",))]),
        *(_transit_rules(layout, operations, environment) if environment else ()),
        *_SELF,
    ) + (_transit_administration(layout, environment) if environment else "")


def _rotation_policy(layout: KeyLayout, environment: str) -> str:
    """Return the policy that lists and rotates the wrapped keys of one environment.

    It reads the records of keys, as a rotation must. That of a wrapped key holds no material; that
    of any other key does.
    """
    names = f"{layout.folder(environment)}/*"
    return _policy(
        f"Rotates the wrapped keys of {environment}; unwraps none.",
        (f"{layout.mount}/data/{names}", ("read", "update")),
        (f"{layout.mount}/metadata/{names}", ("list", "read")),
        *_transit_rules(layout, ("rewrap",), environment),
        *_SELF,
    ) + _transit_administration(layout, environment)


def _transit_rules(
    layout: KeyLayout, operations: Sequence[str], environment: str
) -> Iterator[_Rule]:
    for mount, key in layout.wrappings:
        for operation in operations:
            yield f"{mount}/{operation}/{layout.transit_keys(environment, key)}", ("update",)


def _transit_administration(layout: KeyLayout, environment: str) -> str:
    """Return the rules for making and rotating transit keys that stay in Vault."""
    paths = []
    for mount, key in layout.wrappings:
        keys = f"{mount}/keys/{layout.transit_keys(environment, key)}"
        paths += [keys, f"{keys}/rotate"] if key else [keys]
    return "".join(
        f'\npath "{path}" {{\n  capabilities = ["read", "update"]\n{_HARMLESS_TRAITS}}}\n'
        for path in paths
    )


def _policy(purpose: str, *rules: _Rule) -> str:
    blocks = []
    for path, capabilities in rules:
        listing = ", ".join(f'"{name}"' for name in capabilities)
        blocks.append(f'path "{path}" {{\n  capabilities = [{listing}]\n}}\n')
    return f"# {purpose}\n" + "\n".join(blocks)
