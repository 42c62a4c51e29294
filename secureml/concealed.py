"""Values that do not show themselves: their content comes out through ``reveal()`` alone."""

from __future__ import annotations

import hmac
from typing import Any, Generic, NoReturn, TypeVar

__all__ = ["SecretBytes", "SecretText"]

_Content = TypeVar("_Content", str, bytes)


class _Concealed(Generic[_Content]):
    """A holder whose repr, str, format, copy and pickle never give the content away."""

    __slots__ = ("__content",)

    def __init__(self, content: _Content) -> None:
        self.__content: _Content = content

    def reveal(self) -> _Content:
        """Return the content itself; from here on it is the caller's to protect."""
        return self.__content

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __len__(self) -> int:
        return len(self.__content)

    def __bool__(self) -> bool:
        return bool(self.__content)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._octets(), other._octets())

    __hash__ = None  # type: ignore[assignment]  # a hash would be an unkeyed digest of the content

    def _octets(self) -> bytes:
        content = self.__content
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
