"""A server for the workers of a cluster, each of which logs in with a role of its own."""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secureml.errors import AccessDeniedError, SecretNotFoundError, SecureMLError, WrongKeyError
from secureml.key_management import KeyManager
from secureml.vault.devserver.server import DevServer

if TYPE_CHECKING:
    import hvac

__all__ = ["KEY", "LOOPBACK", "OTHER_KEY", "WORKERS_WITHOUT", "Employer", "found_in", "listening"]

KEY = "7be1a94c" * 8
OTHER_KEY = "04d95f3b" * 8
ENVIRONMENTS = ("development", "staging", "production")

WORKERS_WITHOUT: dict[str, tuple[dict[str, str], type[SecureMLError], str]] = {
    "access": ({}, AccessDeniedError, "'read'.*secret/data/secureml/development/master_key"),
    "that key": ({"SECUREML_ENV": "staging"}, WrongKeyError, "that was found is not the same"),
    "a key": ({"SECUREML_ENV": "production"}, SecretNotFoundError, "production"),
}
"""What a worker lacks, by that: its variables, the error of its job, and what the error says."""


@dataclass
class Employer:
    """A server with an audit log, a key, and a role for each worker.

    Args:
        server: the server.
        folder: for the secret IDs of the roles.
    """

    server: DevServer
    folder: Path

    def __post_init__(self) -> None:
        import hvac  # a run without the extras loads this file too

        self.folder.mkdir()
        self.root: hvac.Client = hvac.Client(self.server.url, token=self.server.root_token.reveal())
        self.root.sys.enable_auth_method("approle")
        self.write("development", KEY)
        self.write("development", OTHER_KEY, "second_key")
        self.write("staging", OTHER_KEY)
        self.driver = self.manager("driver")

    def close(self) -> None:
        """Close what was opened."""
        self.driver.close()
        self.root.adapter.close()

    def write(self, environment: str, key: str, name: str = "master_key") -> None:
        """Write a version of a key of an environment."""
        self.root.secrets.kv.v2.create_or_update_secret(
            f"secureml/{environment}/{name}", {"value": key, "encoding": "hex"}
        )

    def allow(self, role: str, environments: Iterable[str] = ENVIRONMENTS) -> None:
        """Let a role read the keys of these environments alone."""
        paths = [f"secret/{kind}/secureml/{one}/*" for one in environments for kind in _KINDS]
        rules = [f'path "{path}" {{ capabilities = ["read"] }}' for path in paths]
        # Vault takes no empty policy.
        rules = rules or ['path "secret/*" { capabilities = ["deny"] }']
        self.root.sys.create_or_update_policy(role, "\n".join(rules))

    def environment(self, role: str) -> dict[str, str]:
        """Make a role, and return the variables of a worker that logs in with it."""
        self.allow(role)
        approle = self.root.auth.approle
        approle.create_or_update_approle(role, token_policies=[role], token_no_default_policy=False)
        secret_id = self.folder / role
        secret_id.write_text(approle.generate_secret_id(role)["data"]["secret_id"])
        secret_id.chmod(0o600)
        return {
            "SECUREML_ENV": "development",
            "SECUREML_VAULT_URL": self.server.url,
            "SECUREML_VAULT_AUTH": "approle",
            "SECUREML_VAULT_ROLE_ID": approle.read_role_id(role)["data"]["role_id"],
            "SECUREML_VAULT_SECRET_ID_FILE": str(secret_id),
        }

    def manager(self, role: str) -> KeyManager:
        """Return a manager that logs in with a role."""
        told = self.environment(role)
        return KeyManager(
            environment="development",
            vault_url=self.server.url,
            vault_auth="approle",
            vault_role_id=told["SECUREML_VAULT_ROLE_ID"],
            vault_secret_id_file=told["SECUREML_VAULT_SECRET_ID_FILE"],
        )

    def reads(self) -> Counter[str]:
        """Count how often each role was given the key."""
        return Counter(
            event["auth"]["metadata"]["role_name"]
            for event in self._events()
            if event["type"] == "response"
            and event["request"]["path"] == "secret/data/secureml/development/master_key"
            and "role_name" in event["auth"].get("metadata", {})
            and not event.get("error")
        )

    def _events(self) -> Iterator[dict]:
        with (self.server.directory / "audit.log").open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


_KINDS = ("data", "metadata")


def found_in(folder: Path, secrets: Iterable[str]) -> list[tuple[Path, str]]:
    """Return the files of a folder that hold one of some secrets, as it is or in other spellings.

    Args:
        folder: the folder.
        secrets: their text; of hexadecimal digits, the octets are sought too.
    """
    spelt = {one: list(_spellings(one)) for one in secrets}
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            held = file.read_bytes()
            found += [(file, one) for one, each in spelt.items() if any(s in held for s in each)]
    return found


def _spellings(secret: str) -> Iterator[bytes]:
    raw = [secret.encode()]
    with contextlib.suppress(ValueError):  # of a token
        raw.append(bytes.fromhex(secret))
    for octets in raw:
        yield octets
        yield octets.hex().upper().encode()
        # Inside of something longer it starts at one of three places; its ends depend on that.
        for place in range(3):
            yield base64.b64encode(b"\0" * place + octets)[4 : -4 if len(octets) > 8 else None]


def listening(pid: int) -> list[str]:
    """Return the addresses that a process listens on, in hexadecimal digits as Linux has them."""
    held = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # of a file that was closed
            held.add(str(file.readlink()))
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        for address, _, state, inode in ((r[1], r[2], r[3], r[9]) for r in map(str.split, lines)):
            if state in ("0A", "07") and f"socket:[{inode}]" in held:
                found.append(address.partition(":")[0])
    return found


LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
"""Addresses of loopback, as Linux writes them."""


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # of a process that has ended
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]
