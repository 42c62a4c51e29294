"""Values that do not show themselves: their content comes out through ``reveal()`` alone.

That keeps it out of reports, not out of the process's memory: a core dump holds it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Generic, NoReturn, TypeVar, overload

__all__ = ["SecretBytes", "SecretText", "conceal", "revealed"]

_Content = TypeVar("_Content", str, bytes)


class _Concealed(Generic[_Content]):
    """A holder whose repr, str, format, copy and pickle never give the content away."""

    __slots__ = ("__content",)

    def __init__(self, content: _Content) -> None:
        # In a closure, where debuggers and serializers that go through attributes don't find it.
        self.__content: Callable[[], _Content] = lambda: content

    def reveal(self) -> _Content:
        """Return the content itself; from here on it is the caller's to protect."""
        return self.__content()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __len__(self) -> int:
        return len(self.__content())

    def __bool__(self) -> bool:
        return bool(self.__content())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._octets(), other._octets())

    __hash__ = None  # type: ignore[assignment]  # a hash would be an unkeyed digest of the content

    def _octets(self) -> bytes:
        content = self.__content()
        return content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content

    def __copy__(self) -> _Concealed[_Content]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> _Concealed[_Content]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} can't be pickled: it would write the secret out")


class SecretText(_Concealed[str]):
    """Text such as a token or a password.

    Args:
        content: the text.
    """

    __slots__ = ()


class SecretBytes(_Concealed[bytes]):
    """Key material. Two of them compare in constant time.

    Args:
        content: the octets.
    """

    __slots__ = ()


@overload
def conceal(content: str | SecretText) -> SecretText: ...
@overload
def conceal(content: bytes | SecretBytes) -> SecretBytes: ...
def conceal(content: str | bytes | SecretText | SecretBytes) -> SecretText | SecretBytes:
    """Conceal what a caller gave, so that no traceback shows it among the variables.

    A function that takes a key begins with ``key = conceal(key)``, and checks it afterwards.

    Args:
        content: the content; concealed already, it stays as it is.
    """
    if isinstance(content, SecretText | SecretBytes):
        return content
    return SecretText(content) if isinstance(content, str) else SecretBytes(content)


def revealed(fields: Mapping[str, object]) -> dict[str, object]:
    """Return fields as they are stored, their concealed texts in the clear."""
    return {
        name: value.reveal() if isinstance(value, SecretText) else value
        for name, value in fields.items()
    }
