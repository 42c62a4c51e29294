"""Connections that keep one deadline for a whole request.

A socket's timeout holds for each read alone, so that an answer which drips in byte by byte never
meets it. These sockets shorten theirs, before each read and write, to what is left.
"""

from __future__ import annotations

import os
import queue
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

from requests import PreparedRequest, Request, Response, Session
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.exceptions import ReadTimeout, RequestException
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util.connection import allowed_gai_family

from secureml.errors import SecretError
from secureml.forksafe import Renewed, unforked
from secureml.settings.checks import is_loopback

__all__ = [
    "DeadlineAdapter",
    "IsolatedSession",
    "TooLargeError",
    "UnixAdapter",
    "deadline",
    "remaining",
    "share",
]

_moment: ContextVar[float | None] = ContextVar("deadline", default=None)

_NOTICEABLE = 1.02

_PIECE = 16 * 1024
"""Bytes of an answer that are taken at a time, before they are inflated."""

_Place = tuple[int, int, int, Any]
"""Family, kind, protocol and address of a socket."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Hold every request inside the block to one deadline; one that holds already stays.

    Args:
        seconds: how long the requests may take in all.
    """
    if _moment.get() is not None:
        yield
        return
    token = _moment.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _moment.reset(token)


@contextmanager
def share(part: float) -> Iterator[None]:
    """Hold every request inside the block to a part of the time that is left.

    Args:
        part: how much of it, up to 1.
    """
    moment = _moment.get()
    if moment is None:
        yield
        return
    now = time.monotonic()
    token = _moment.set(now + (moment - now) * part)
    try:
        yield
    finally:
        _moment.reset(token)


def remaining() -> float | None:
    """Return the seconds that are left; None if there is no deadline.

    Raises:
        TimeoutError: none are left.
    """
    moment = _moment.get()
    if moment is None:
        return None
    left = moment - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class TooLargeError(RequestException):
    """An answer is larger than is allowed."""


class _Guarded(socket.socket):
    """A socket that keeps the deadline, and serves no process but the one that made it.

    Parent and child that used one together would read each other's answers.
    """

    process: int

    def __new__(cls, *arguments: Any, **more: Any) -> Self:
        made = super().__new__(cls, *arguments, **more)
        made.process = os.getpid()
        return made

    def recv(self, *arguments: Any) -> bytes:
        _limit(self)
        return super().recv(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        _limit(self)
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        _limit(self)
        super().sendall(*arguments)


class _TlsSocket(_Guarded, ssl.SSLSocket):
    def do_handshake(self, *arguments: Any) -> None:
        # It takes the socket's timeout for all of its reads together.
        _limit(self)
        super().do_handshake(*arguments)


class _Idle:
    """The idle connections of one pool, in the place of urllib3's queue.

    A process takes only those that it has put here. Each step is atomic: there is no lock that a
    fork or a signal handler might find taken.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._connections: deque[tuple[int, Any]] = deque()

    def get(self, block: bool = False, timeout: float | None = None) -> Any:
        """Take the connection that was used last; raise queue.Empty where there is none."""
        while self._connections:
            try:
                process, connection = self._connections.pop()
            except IndexError:
                break
            if process == os.getpid():
                return connection
            connection.close()
        raise queue.Empty

    def put(self, connection: Any, block: bool = False) -> None:
        """Keep a connection, or close it where there are enough."""
        if connection is None:
            return
        if len(self._connections) >= self._size:
            connection.close()
            return
        self._connections.append((os.getpid(), connection))

    def qsize(self) -> int:
        """Return how many connections are kept."""
        return len(self._connections)


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _opened(self, _resolved(self))


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _opened(self, _resolved(self))


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
    QueueCls = _Idle  # type: ignore[assignment]  # it is used as one


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
    QueueCls = _Idle  # type: ignore[assignment]  # it is used as one
    has_certificates = False


class IsolatedSession(Session, Renewed):
    """A session of requests that goes by what it is given, and never by the environment.

    hvac repeats in each request what the session says of certificates and proxies. A client that a
    child inherits goes on with connections of the child's own.
    """

    def __init__(self) -> None:
        Session.__init__(self)
        # Passwords of the environment are for other software.
        self.trust_env = False
        Renewed.__init__(self)

    def renew(self) -> None:
        """Leave the parent's connections alone, and every lock that one of its threads may hold."""
        self.cookies = RequestsCookieJar()
        for adapter in self.adapters.values():
            if isinstance(adapter, _Adapter):
                adapter.renew()

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Prepare a request without cookies, passwords and hooks.

        Vault wants none of them, and to merge them takes longer than all that is done here.
        """
        prepared = PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_url(request.url or "", request.params)
        prepared.prepare_headers({**self.headers, **request.headers})
        prepared.prepare_body(request.data, request.files, request.json)
        return prepared

    def get_redirect_target(self, resp: Response) -> None:
        """Follow no redirect: the request would carry the token to wherever it leads."""

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> dict[str, Any]:
        """Return the request's own settings."""
        return {"proxies": proxies or {}, "stream": bool(stream), "verify": verify, "cert": cert}


class _Adapter(HTTPAdapter):
    """An adapter of requests that bounds answers, and makes its pools when they are first needed.

    Args:
        pool_size: how many connections to one host are kept open.
        largest: how many bytes an answer may have, inflated.
    """

    pools: dict[str, type]

    def __init__(self, pool_size: int, largest: int) -> None:
        self._pool_size = pool_size
        self._largest = largest
        super().__init__(pool_maxsize=pool_size)

    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        """Make no pool manager as yet: it may need a TLS context."""
        self._manager: PoolManager | None = None

    @property
    def poolmanager(self) -> PoolManager:  # type: ignore[override]  # requests only reads it
        """The pool manager."""
        if self._manager is None:
            made = PoolManager(maxsize=self._pool_size, **self._tls())
            made.pool_classes_by_scheme = self.pools
            self._manager = made
        return self._manager

    def renew(self) -> None:
        """Begin with no connection and no pool."""
        self._manager = None
        self.proxy_manager = {}

    def close(self) -> None:
        """Close the connections."""
        for manager in filter(None, (self._manager, *self.proxy_manager.values())):
            manager.clear()

    def send(self, request: PreparedRequest, *arguments: Any, **more: Any) -> Response:
        """Send a request and read its answer.

        Raises:
            TooLargeError: the answer is larger than is allowed.
            RequestException: no answer.
        """
        response = super().send(request, *arguments, **more)
        try:
            response._content = b"".join(self._pieces(response))
        finally:
            response.close()
        return response

    def _pieces(self, response: Response) -> Iterator[bytes]:
        size = 0
        for piece in response.iter_content(_PIECE):
            size += len(piece)
            if size > self._largest:
                raise TooLargeError("the answer is too large")
            if _is_over():
                raise ReadTimeout("the answer did not end in time")
            yield piece

    def _tls(self) -> dict[str, Any]:
        return {}


class DeadlineAdapter(_Adapter):
    """An adapter of requests whose connections keep the deadline.

    Args:
        pool_size: how many connections to one host are kept open.
        largest: how many bytes an answer may have, inflated.
        encrypted: whether it is for https addresses; only those need a TLS context.
        server_name: the name that a TLS certificate must be for, instead of the host's.
        verify: whether TLS certificates are looked at, or the file or folder of the certificates
            to trust, as the session says too.
        authorities: PEM files of certificates to trust, besides what the session verifies with.
    """

    def __init__(
        self,
        pool_size: int,
        largest: int,
        *,
        encrypted: bool = False,
        server_name: str | None = None,
        verify: bool | str = True,
        authorities: Sequence[Path] = (),
    ) -> None:
        self._encrypted = encrypted
        self._server_name = server_name
        self._verify = verify
        self._authorities = authorities
        self._context: ssl.SSLContext | None = None
        self.pools = _POOLS
        super().__init__(pool_size, largest)

    def prepare(self) -> None:
        """Make the TLS context before the first request, which a fork might interrupt."""
        self._tls()

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """Make the manager of a proxy's connections."""
        has_tls = proxy.lower().startswith("https:")
        tls = self._with_context() if self._encrypted or has_tls else {}
        if has_tls:
            # Without it, urllib3 makes a context of its own, whose sockets know no deadline.
            tls["proxy_ssl_context"] = self._proxy_context()
        manager = super().proxy_manager_for(proxy, **more, **tls)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Tell a pool its certificates; once is enough, as another setting takes another pool."""
        if isinstance(conn, _TlsPool) and conn.has_certificates:
            return
        super().cert_verify(conn, url, verify, cert)
        if isinstance(conn, _TlsPool):
            conn.has_certificates = True

    def send(self, request: PreparedRequest, *arguments: Any, **more: Any) -> Response:
        """Send a request; what stays on this machine is never shown to a proxy."""
        if more.get("proxies") and is_loopback(request.url or ""):
            more["proxies"] = None
        return super().send(request, *arguments, **more)

    def _tls(self) -> dict[str, Any]:
        return self._with_context() if self._encrypted else {}

    def _with_context(self) -> dict[str, Any]:
        with unforked():
            if self._context is None:
                self._context = self._made_context()
        # OpenSSL compares the certificate with the name that is sent.
        return {"ssl_context": self._context, "server_hostname": self._server_name}

    def _proxy_context(self) -> ssl.SSLContext:
        with unforked():
            context = self._made_context()
            if self._verify is True:
                context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
            elif self._verify and Path(self._verify).is_file():
                context.load_verify_locations(self._verify)
        return context

    def _made_context(self) -> ssl.SSLContext:
        # urllib3's and Python's own helpers write session keys to the file in SSLKEYLOGFILE.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.sslsocket_class = _TlsSocket
        context.hostname_checks_common_name = False
        context.post_handshake_auth = True
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for file in self._authorities:
            context.load_verify_locations(file)
        return context


_POOLS = {"http": _Pool, "https": _TlsPool}


class UnixAdapter(_Adapter):
    """An adapter of requests that sends to a unix socket, whatever host it is asked for.

    Args:
        path: the socket's path.
        pool_size: how many connections are kept open.
        largest: how many bytes an answer may have, inflated.
    """

    def __init__(self, path: str, pool_size: int, largest: int) -> None:
        class Connection(_Connection):
            def _new_conn(self) -> socket.socket:
                return _opened(self, [(socket.AF_UNIX, socket.SOCK_STREAM, 0, path)])

        class Pool(_Pool):
            ConnectionCls = Connection

        self.pools = {"http": Pool}
        super().__init__(pool_size, largest)

    def send(self, request: PreparedRequest, *arguments: Any, **more: Any) -> Response:
        """Send a request; a socket on this machine is never behind a proxy."""
        return super().send(request, *arguments, **{**more, "proxies": None})


def _limit(connected: _Guarded) -> None:
    """Shorten a socket's timeout to what is left, if that is noticeably less.

    Setting it is a system call, which hands the interpreter over to another thread.
    """
    if connected.process != os.getpid():
        raise SecretError("another process opened this connection to Vault, and uses it")
    left = remaining()
    if left is None:
        return
    timeout = connected.gettimeout()
    if timeout is None or timeout > left * _NOTICEABLE:
        connected.settimeout(left)


def _is_over() -> bool:
    try:
        remaining()
    except TimeoutError:
        return True
    return False


def _resolved(connection: HTTPConnection) -> list[_Place]:
    """Look the host up; it may have several addresses."""
    host = connection.host.strip("[]")
    try:
        found = socket.getaddrinfo(host, connection.port, allowed_gai_family(), socket.SOCK_STREAM)
    except socket.gaierror as error:
        # It does not tell where it could open nothing; this does.
        socket.socket().close()
        raise NameResolutionError(connection.host, connection, error) from error
    return [(family, kind, number, address) for family, kind, number, _, address in found]


def _opened(connection: HTTPConnection, places: Sequence[_Place]) -> _Guarded:
    """Connect to the first place that accepts.

    Each has the connection's own timeout, and all together have what is left of the deadline.
    """
    failure: HTTPError = NewConnectionError(connection, "the host has no address")
    for family, kind, number, address in places:
        opened = _Guarded(family, kind, number)
        try:
            opened.settimeout(_shortened(connection.timeout))
            opened.connect(address)
        except TimeoutError:
            opened.close()
            failure = ConnectTimeoutError(connection, "the host does not accept connections")
        except OSError as error:
            opened.close()
            failure = NewConnectionError(connection, str(error))
            failure.__cause__ = error
        else:
            if family in (socket.AF_INET, socket.AF_INET6):
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return opened
    raise failure


def _shortened(timeout: float | None) -> float | None:
    left = remaining()
    return timeout if left is None else min(left, timeout or left)
