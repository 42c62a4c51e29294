"""The policies that production needs, as HCL: who may do what to the keys, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from secureml.errors import ConfigurationError

__all__ = ["Layout", "administration_policy", "bootstrap_policy", "read_policy"]

_UNSAFE = frozenset('*"{}$')

_Rule = tuple[str, Sequence[str]]

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

    Raises:
        ConfigurationError: a name holds what a policy would take for a pattern.
    """

    mount: str
    path: str
    environments: tuple[str, ...]
    approle: str = "approle"
    prefix: str = "secureml"

    def __post_init__(self) -> None:
        names = {
            "vault_mount": self.mount,
            "vault_path": self.path,
            "the mount of AppRole": self.approle,
            "the prefix": self.prefix,
        }
        problems = [
            f"{what} can't be part of a policy: it holds '+' alone between slashes, or one of "
            f"{' '.join(sorted(_UNSAFE))}"
            for what, text in names.items()
            if "+" in text.split("/") or not _UNSAFE.isdisjoint(text)
        ]
        if problems:
            raise ConfigurationError.of(problems)

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
        *_SELF,
    )


def administration_policy(layout: Layout) -> str:
    """Return the policy of those who make, rotate and destroy keys, in every environment.

    It can't delete a key's metadata, which would take every version with it at once.

    Args:
        layout: where the keys are.
    """
    # Of the rules that match a path, those for the longest one count, whichever policy they are
    # in; the environments by name keep a token that also has a reading policy from losing rights.
    folders = (layout.path, *(f"{layout.path}/{name}" for name in layout.environments))
    sections = {
        "data": ("create", "read", "update"),
        "metadata": ("create", "list", "read", "update"),
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
        *_SELF,
    )


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
        (f"sys/mounts/{mount}", ("update",)),
        (f"{mount}/config", ("read", "update")),
        *((f"{mount}/metadata/{parent}", ("list",)) for parent in layout.parents),
        (f"{mount}/metadata/{path}/*", ("list", "read", "update")),
        *((f"sys/policies/acl/{name}", ("read", "update")) for name in written),
        (f"sys/policies/acl/{layout.bootstrap_policy_name}", ("read",)),
        ("sys/auth", ("read",)),
        (f"sys/auth/{layout.approle}", ("sudo", "update")),
        *((role, ("create", "read", "update")) for role in roles),
        *((f"{role}/role-id", ("read",)) for role in roles),
        ("sys/audit", ("read", "sudo")),
        *_SELF,
    )


def _policy(purpose: str, *rules: _Rule) -> str:
    return f"# {purpose}\n" + "\n".join(_blocks(rules))


def _blocks(rules: Iterable[_Rule]) -> Iterable[str]:
    for path, capabilities in rules:
        listing = ", ".join(f'"{name}"' for name in capabilities)
        yield f'path "{path}" {{\n  capabilities = [{listing}]\n}}\n'
