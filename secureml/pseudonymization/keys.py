"""The keys of one domain: one for each purpose, derived when it is needed."""

from __future__ import annotations

from collections.abc import Callable

from secureml.secret_types import SecretBytes

__all__ = ["DomainKeys"]


class DomainKeys:
    """Derives the keys that the columns of one domain share.

    Args:
        derive: derives a key of so many octets for a purpose from the master key.
        domain: the name of the domain.
        prefix: what sets it apart from domains of the same name, or None.
    """

    __slots__ = ("_derive", "_prefix", "domain")

    def __init__(
        self, derive: Callable[[str, int], bytes], domain: str, prefix: str | None = None
    ) -> None:
        self._derive = derive
        self._prefix = prefix
        self.domain = domain

    def fpe(self) -> SecretBytes:
        """Return the key for FF1, 32 octets."""
        return self._key("fpe", 32)

    def tokens(self) -> SecretBytes:
        """Return the key for tokens in place of values that have no pseudonym, 64 octets."""
        return self._key("token", 64)

    def strategy_tokens(self) -> SecretBytes:
        """Return the key for the strategy ``token``, 64 octets."""
        return self._key("siv", 64)

    def hash(self) -> SecretBytes:
        """Return the key for the strategy ``hash``, 32 octets."""
        return self._key("hash", 32)

    def tweaked_hash(self) -> SecretBytes:
        """Return the key for the strategy ``hash`` of rows with tweaks, 32 octets."""
        return self._key("tweaked-hash", 32)

    def tables(self) -> SecretBytes:
        """Return the key for permutations of small domains, 32 octets."""
        return self._key("table", 32)

    def of_strategy(self, name: str, size: int) -> SecretBytes:
        """Return the key for a strategy of another package.

        Args:
            name: of the strategy, such as ``vendor:name/1``.
            size: of the key, in octets.
        """
        return self._key(f"strategy/{len(name)}/{name}", size)

    def _key(self, purpose: str, size: int) -> SecretBytes:
        place = f"{purpose}/{self.domain}"
        if self._prefix is not None:
            # With its length no prefix and domain read as others, and no purpose is "prefixed".
            place = f"prefixed/{purpose}/{len(self._prefix)}/{self._prefix}/{self.domain}"
        return SecretBytes(self._derive(f"pseudonymization/{place}", size))
