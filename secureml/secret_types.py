"""Types that hide their content: only ``reveal()`` returns it.

That keeps it out of reports, not out of the process's memory: a core dump holds it.
"""

from __future__ import annotations

import functools
import hmac
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, NoReturn, ParamSpec, TypeVar, overload

__all__ = [
    "SecretBytes",
    "SecretFields",
    "SecretText",
    "SecretValue",
    "conceal",
    "conceals",
    "reveal",
    "revealed",
]

_Content = TypeVar("_Content")
_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Concealed(Generic[_Content]):
    """A holder whose repr, str, format, copy and pickle never give the content away."""

    __slots__ = ("__content",)

    def __init__(self, content: _Content) -> None:
        # In a closure, where debuggers and serializers that read attributes do not find it.
        self.__content: Callable[[], _Content] = lambda: content

    def reveal(self) -> _Content:
        """Return the content itself; from here on it is the caller's to protect."""
        return self.__content()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __len__(self) -> int:
        return len(self.__content())  # type: ignore[arg-type]  # every content has a length

    def __bool__(self) -> bool:
        return bool(self.__content())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        content, others = _octets(self.__content()), _octets(other.reveal())
        if isinstance(content, bytes) and isinstance(others, bytes):
            return hmac.compare_digest(content, others)
        return bool(content == others)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # a hash would be an unkeyed digest of the content

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


class SecretValue(_Concealed[object]):
    """Anything else, such as the fields of a structured secret, or an argument of a wrong type.

    Args:
        content: the object; it is not copied.
    """

    __slots__ = ()


class SecretFields(Mapping[str, object]):
    """The fields of a secret: a mapping that shows neither its names nor its values.

    Args:
        fields: names and values.
    """

    __slots__ = ("__fields",)

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.__fields: SecretValue = SecretValue(dict(fields))

    def __getitem__(self, name: str) -> object:
        return self._revealed()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._revealed())

    def __len__(self) -> int:
        return len(self._revealed())

    def __contains__(self, name: object) -> bool:
        return name in self._revealed()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> SecretFields:
        return self

    def _revealed(self) -> dict[str, object]:
        # Made of a dict above, which the type of what is concealed does not tell.
        fields: dict[str, object] = self.__fields.reveal()  # type: ignore[assignment]  # as above
        return fields


@overload
def conceal(content: str | SecretText) -> SecretText: ...
@overload
def conceal(content: bytes | SecretBytes) -> SecretBytes: ...
@overload
def conceal(content: object) -> Any: ...
def conceal(content: object) -> Any:
    """Conceal an argument, so that no traceback shows it among the variables.

    A function that takes a key begins with ``key = conceal(key)``, and checks it afterwards. A
    public one is decorated with `conceals` instead.

    Args:
        content: the content; what conceals itself, as a key's handle does, stays as it is.
    """
    if hasattr(type(content), "reveal"):
        return content
    if isinstance(content, str):
        return SecretText(content)
    return SecretBytes(content) if isinstance(content, bytes) else SecretValue(content)


def reveal(content: object) -> Any:
    """Return the content of a concealed value, and any other value as it is."""
    return content.reveal() if isinstance(content, _Concealed) else content


def revealed(fields: Mapping[str, object]) -> dict[str, object]:
    """Return fields as they are stored, their concealed values in the clear, nested ones too."""
    return {
        name: revealed(value) if isinstance(value, Mapping) else reveal(value)
        for name, value in fields.items()
    }


def conceals(*secret: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a public function: no frame of secureml holds its secret arguments in the clear.

    The function receives concealed what its parameters of these names are given, and all that it
    has no named parameter for: a setting in ``**settings``, a misspelt keyword, one argument too
    many. What Python itself says of wrong arguments is then raised in the decorator's frame, which
    holds them concealed too. All other parameters receive the content itself.

    Args:
        secret: the names of the parameters.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        parameters = inspect.signature(function).parameters.values()
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        plain = {each.name for each in parameters if each.kind not in variable} - {*secret}
        order = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]

        def passed(name: str | None, value: object) -> object:
            if value is None or name in plain:
                return reveal(value)
            return conceal(value)

        @functools.wraps(function)
        def entry(*arguments: Any, **keywords: Any) -> _R:
            names = [*order, *[None] * len(arguments)]
            arguments = tuple(map(passed, names, arguments))
            keywords = {name: passed(name, value) for name, value in keywords.items()}
            return function(*arguments, **keywords)

        return entry

    return decorate


def _octets(content: object) -> object:
    return content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
