"""Deterministic defaults for development: the same on every machine, public, no protection."""

from __future__ import annotations

from secureml.keys import derive
from secureml.stores.base import Finding, Outcome, Record

__all__ = ["DevelopmentSource"]

_PUBLIC_SEED = b"secureml development default: public, protects nothing"


class DevelopmentSource:
    """Derives a value from a secret's name and a public seed."""

    def read(self, name: str, size: int = 32) -> Outcome:
        """Make the default of a name.

        Args:
            name: the secret's name.
            size: its length in bytes; its text is twice as many hexadecimal digits.

        Returns:
            Always present.
        """
        text = derive(_PUBLIC_SEED, f"development/{name}", size).hex()
        record = Record(
            fields={"value": text, "encoding": "hex"},
            source="development default",
            path=f"development default of {name}",
        )
        return Outcome(finding=Finding.PRESENT, where="development default", record=record)
