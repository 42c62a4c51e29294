"""What a rekey is to do, noted down under a MAC with the keys that it is about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from cryptography.hazmat.primitives.constant_time import bytes_eq

from secureml.errors import SecureMLError
from secureml.files.storage import Digest
from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import keyring_of, keyring_that_made
from secureml.pseudonymization.manifest import Manifest

__all__ = ["RekeyPlan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RekeyPlan:
    """What a rekey is to do; settled once, however often it is stopped.

    Args:
        data: the digest of the table.
        manifest: of the table.
        key_name: of the new key.
        key_version: its version, None if its source has none.
        target: the name of the file that it makes.
        place: where the new manifest goes, relative to the target's folder, so that both can be
            moved while nothing runs; None for the target itself.
        rows: how many it has done; None until it is complete.
    """

    data: Digest
    manifest: Mapping[str, Any]
    key_name: str
    key_version: int | None
    target: str
    place: str | None
    rows: int | None = None

    def sealed(self, manager: KeyManager) -> dict[str, Any]:
        """Return the plan as it is noted down.

        Raises:
            SecretError: a key can't be had.
            ManifestError: the manifest was changed, or made with another key.
        """
        text = json.dumps(asdict(self))
        return {"plan": text, "mac": self._mac(text, manager)}

    @classmethod
    def opened(cls, note: Mapping[str, Any], manager: KeyManager) -> Self | None:
        """Read a plan; None for what was not noted down so with the keys that it names.

        Raises:
            SecretError: a key can't be had.
            ManifestError: the manifest was changed, or made with another key.
        """
        try:
            text, mac = str(note["plan"]), str(note["mac"])
            content = json.loads(text)
            plan = cls(**{**content, "data": Digest(**content["data"])})
        except (KeyError, TypeError, ValueError, RecursionError):
            return None
        named = isinstance(plan.key_name, str) and isinstance(plan.key_version, int | None)
        if not named or not isinstance(plan.manifest, dict):
            return None
        expected = plan._mac(text, manager)
        return plan if bytes_eq(mac.encode("utf-8", "replace"), expected.encode()) else None

    def check(
        self, data: Digest, manifest: Mapping[str, Any], to_key: str | None, folder: object
    ) -> None:
        """Check that the plan is of this table and key.

        Raises:
            SecureMLError: it is not.
        """
        problem = ""
        if (data, manifest) != (self.data, self.manifest):
            problem = "the file or its manifest was changed since"
        elif to_key not in (None, self.key_name):
            problem = f"it moves the file to {self.key_name!r}"
        if problem:
            raise SecureMLError(
                f"{folder} holds a rekey that was begun and stopped, and {problem}. To give it up,"
                " remove the folder: the file does not need it"
            )

    def _mac(self, text: str, manager: KeyManager) -> str:
        """Return MACs with both keys: a new key alone could be anybody's."""
        manifest = Manifest.parse(self.manifest)
        old = keyring_that_made(manager, manifest.key)
        manifest.check(old)
        new = keyring_of(manager, self.key_name, self.key_version)
        return "".join(keyring.mac_of(text.encode()) for keyring in (old, new))
