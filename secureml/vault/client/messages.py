"""A request to Vault, and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from secureml.vault.client.answers import Members

__all__ = ["Answer", "Objection", "Request"]

_LONGEST_WAIT = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a request.

    Args:
        status: the HTTP status.
        body: the members of the answer; none if it is no JSON object.
        headers: the headers, by name in any case.
        is_object: whether the body is a JSON object.
        repeated: whether an earlier attempt may have reached Vault as well.
    """

    status: int
    body: Members
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_object: bool = True
    repeated: bool = False

    @property
    def data(self) -> Members:
        """The object under ``data``; empty if there is none."""
        return self.body.section("data")

    @property
    def has_no_route(self) -> bool:
        """Whether no engine took the request; one that has nothing there gives no reason."""
        return self.status == 404 and bool(self.body.texts("errors"))

    @property
    def date(self) -> str | None:
        """When it was sent, by the server's clock, as HTTP writes a time."""
        return self.headers.get("Date")

    @property
    def retry_after(self) -> float | None:
        """For how many seconds Vault asks to be left alone; it never names a date instead."""
        text = self.headers.get("Retry-After", "")
        return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else None


Objection = Callable[[Answer], str]
"""Says in words what can't be right about an answer; empty if nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request to Vault.

    Args:
        method: the HTTP method.
        path: the path below ``/v1/``, percent-encoded if needed.
        body: what to send as JSON; secrets as `SecretText`.
        params: the parameters of the query.
        headers: further headers.
        repeatable: whether sending it twice does no harm. One that is not is tried again only if
            Vault has not begun to work on it.
        objection: tells whether an answer is out of date. A standby lags behind the active node,
            which alone is believed in spite of it.
        is_login: whether it is part of a login, which Vault refuses by more statuses.
    """

    method: str
    path: str
    body: Mapping[str, object] | None = field(default=None, repr=False)
    params: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    objection: Objection | None = None
    is_login: bool = False
