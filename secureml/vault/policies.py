"""The policies that production needs, as HCL: who may do what to the keys, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from secureml.errors import ConfigurationError

__all__ = ["Layout", "administration_policy", "bootstrap_policy", "read_policy"]

_UNSAFE = frozenset('*"{}$')

_Rule = tuple[str, Sequence[str]]

_HARMLESS_TRAITS = """\
  allowed_parameters = {
    "type" = ["aes256-gcm96"]
    "derived" = [true]
    "exportable" = [false]
    "allow_plaintext_backup" = [false]
  }
"""
"""What may be said of a transit key: the same path would let it leave Vault, or delete it."""

# What a token must be allowed where it goes without the default policy: to see and renew itself,
# to give itself up, and to ask what it may do.
_SELF: tuple[_Rule, ...] = (
    ("auth/token/lookup-self", ("read",)),
    ("auth/token/renew-self", ("update",)),
    ("auth/token/revoke-self", ("update",)),
    ("sys/capabilities-self", ("update",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where things are, and what they are called.

    Args:
        mount: where the KV v2 engine is mounted.
        path: the path under it below which each environment has a folder.
        environments: the environments' names.
        approle: where the AppRole auth method is mounted.
        prefix: what the names of policies and roles begin with.
        transit: where the transit engine is mounted; None where none wraps keys.
        transit_key: the transit key that wraps every key; None where each has its own.

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
            problems.append("vault_path can't hold a dot where transit keys are named after it")
        if problems:
            raise ConfigurationError.of(problems)

    def transit_keys(self, environment: str | None = None) -> str:
        """Return the names of an environment's transit keys, or of all, as a policy has them."""
        folder = "/".join(filter(None, (self.path, environment)))
        return self.transit_key or f"{folder.replace('/', '.')}.*"

    @property
    def parents(self) -> tuple[str, ...]:
        """The folders of the mount that lead to the path, each with its closing slash."""
        segments = self.path.split("/")
        return tuple("".join(f"{name}/" for name in segments[:n]) for n in range(len(segments)))

    @property
    def policies(self) -> dict[str, str]:
        """Each policy's HCL by its name."""
        reading = {
            self.read_policy_name(environment): read_policy(self, environment)
            for environment in self.environments
        }
        return {
            **reading,
            self.administration_policy_name: administration_policy(self),
            self.bootstrap_policy_name: bootstrap_policy(self),
        }

    @property
    def administration_policy_name(self) -> str:
        """The name of the policy for those who make and rotate keys."""
        return f"{self.prefix}-keys-admin"

    @property
    def bootstrap_policy_name(self) -> str:
        """The name of the policy that setting all this up takes."""
        return f"{self.prefix}-bootstrap"

    def read_policy_name(self, environment: str) -> str:
        """Return the name of the policy that reads an environment's keys."""
        return f"{self.prefix}-{environment}-read"

    def role(self, environment: str) -> str:
        """Return the name of an environment's AppRole."""
        return f"{self.prefix}-{environment}"


def read_policy(layout: Layout, environment: str) -> str:
    """Return the policy of an application: it reads and lists the keys of one environment.

    Args:
        layout: where the keys are.
        environment: the environment.
    """
    folder = f"{layout.path}/{environment}/*"
    return _policy(
        f"Reads the keys of {environment}.",
        (f"{layout.mount}/data/{folder}", ("read",)),
        (f"{layout.mount}/metadata/{folder}", ("list", "read")),
        *_transit_rules(layout, ("decrypt",), environment),
        *_SELF,
    )


def administration_policy(layout: Layout) -> str:
    """Return the policy of those who make, rotate and destroy keys, in every environment.

    It can't delete a key's metadata, which would take every version with it at once. Keys that a
    transit engine wraps it makes and rewraps, but does not unwrap.

    Args:
        layout: where the keys are.
    """
    # Of the rules that match a path, those for the longest one count, whichever policy they are
    # in; the environments by name keep a token that also has a reading policy from losing rights.
    folders = (layout.path, *(f"{layout.path}/{name}" for name in layout.environments))
    sections = {
        "data": ("create", "read", "update"),
        "metadata": ("create", "list", "patch", "read", "update"),
        "delete": ("update",),
        "undelete": ("update",),
        "destroy": ("update",),
    }
    return _policy(
        "Makes, rotates and destroys keys of every environment.",
        *(
            (f"{layout.mount}/{section}/{folder}/*", capabilities)
            for folder in folders
            for section, capabilities in sections.items()
        ),
        (f"{layout.mount}/config", ("read",)),
        *_transit_rules(layout, ("datakey/plaintext", "encrypt", "rewrap")),
        *_SELF,
    ) + _transit_administration(layout)


def bootstrap_policy(layout: Layout) -> str:
    """Return the least that setting all this up takes, once this policy itself is there.

    It reads no key, makes no secret_id, and can't change itself. Whoever may write policies and
    roles can still give rights to others, so its tokens are for operators.

    Args:
        layout: what is to be set up.
    """
    mount, path = layout.mount, layout.path
    written = [
        *(layout.read_policy_name(environment) for environment in layout.environments),
        layout.administration_policy_name,
    ]
    roles = [f"auth/{layout.approle}/role/{layout.role(name)}" for name in layout.environments]
    return _policy(
        "Sets up the mount, the policies and the roles; reads no key.",
        ("sys/mounts", ("read",)),
        *((f"sys/mounts/{name}", ("update",)) for name in (mount, layout.transit) if name),
        (f"{mount}/config", ("read", "update")),
        *((f"{mount}/metadata/{parent}", ("list",)) for parent in layout.parents),
        (f"{mount}/metadata/{path}/*", ("list", "read", "update")),
        (f"{mount}/undelete/{path}/*", ("update",)),
        *((f"sys/policies/acl/{name}", ("read", "update")) for name in written),
        (f"sys/policies/acl/{layout.bootstrap_policy_name}", ("read",)),
        ("sys/auth", ("read",)),
        (f"sys/auth/{layout.approle}", ("sudo", "update")),
        *((role, ("create", "read", "update")) for role in roles),
        *((f"{role}/role-id", ("read",)) for role in roles),
        ("sys/audit", ("read", "sudo")),
        *_SELF,
    )


def _transit_rules(
    layout: Layout, operations: Sequence[str], environment: str | None = None
) -> Iterable[_Rule]:
    if layout.transit is None:
        return
    for operation in operations:
        yield f"{layout.transit}/{operation}/{layout.transit_keys(environment)}", ("update",)


def _transit_administration(layout: Layout) -> str:
    """Return the rules for making and rotating transit keys that stay in Vault."""
    if layout.transit is None:
        return ""
    keys = f"{layout.transit}/keys/{layout.transit_keys()}"
    paths = (keys, f"{keys}/rotate") if layout.transit_key else (keys,)
    return "".join(
        f'\npath "{path}" {{\n  capabilities = ["read", "update"]\n{_HARMLESS_TRAITS}}}\n'
        for path in paths
    )


def _policy(purpose: str, *rules: _Rule) -> str:
    return f"# {purpose}\n" + "\n".join(_blocks(rules))


def _blocks(rules: Iterable[_Rule]) -> Iterable[str]:
    for path, capabilities in rules:
        listing = ", ".join(f'"{name}"' for name in capabilities)
        yield f'path "{path}" {{\n  capabilities = [{listing}]\n}}\n'
