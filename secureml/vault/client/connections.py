"""Connections that keep the deadline, and belong to the process that opened them.

A socket's timeout holds for each read alone, so an answer that drips in byte by byte never meets
it. These sockets shorten theirs, before each read and write, to the time that is left.
"""

from __future__ import annotations

import math
import os
import queue
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

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
from secureml.vault.client.deadline import seconds_left

__all__ = ["POOLS", "DeadlineTlsSocket", "TlsPool", "unix_pools"]

_NOTICEABLE = 1.02

_SocketAddress = tuple[int, int, int, Any]
"""Family, kind, protocol and address of a socket."""


class DeadlineSocket(socket.socket):
    """A socket that keeps the deadline, and serves only the process that made it.

    A parent and a child that used one together would read each other's answers.
    """

    process: int

    def __new__(cls, *arguments: Any, **more: Any) -> Self:
        created = super().__new__(cls, *arguments, **more)
        created.process = os.getpid()
        return created

    def recv(self, *arguments: Any, **more: Any) -> bytes:
        self._shorten_timeout()
        return super().recv(*arguments, **more)

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        self._shorten_timeout()
        return super().recv_into(*arguments, **more)

    def sendall(self, *arguments: Any, **more: Any) -> None:
        self._shorten_timeout()
        super().sendall(*arguments, **more)

    def _shorten_timeout(self) -> None:
        if self.process != os.getpid():
            raise SecretError("another process opened this connection to Vault, and uses it")
        left = seconds_left()
        if left <= 0:
            raise TimeoutError
        timeout = self.gettimeout()
        # Setting it is a system call, which hands the interpreter over to another thread.
        if left < math.inf and (timeout is None or timeout > left * _NOTICEABLE):
            self.settimeout(left)


class DeadlineTlsSocket(DeadlineSocket, ssl.SSLSocket):
    """The same with TLS."""

    def do_handshake(self, *arguments: Any, **more: Any) -> None:
        """Shake hands; the socket's timeout holds for all reads of this together."""
        self._shorten_timeout()
        super().do_handshake(*arguments, **more)


class _IdleConnections:
    """The idle connections of one pool, in place of urllib3's queue.

    A process takes only those that it has put here. Each step is atomic: there is no lock that a
    fork or a signal handler might find taken.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._connections: deque[tuple[int, Any]] = deque()

    def get(self, block: bool = False, timeout: float | None = None) -> Any:
        """Take the connection that was used last; raise queue.Empty if there is none."""
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
        """Keep a connection, or close it if there are enough."""
        if connection is None:
            return
        if len(self._connections) >= self._size:
            connection.close()
            return
        self._connections.append((os.getpid(), connection))


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, _resolve(self))


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self, _resolve(self))


class _Pool(HTTPConnectionPool):
    ConnectionCls: type[Any] = _Connection
    QueueCls = _IdleConnections  # type: ignore[assignment]  # it is used as one


class TlsPool(HTTPSConnectionPool):
    """A pool of connections with TLS; ``has_certificates`` once it was told what to trust."""

    ConnectionCls: type[Any] = _TlsConnection
    QueueCls = _IdleConnections  # type: ignore[assignment]  # it is used as one
    has_certificates = False


POOLS: dict[str, type] = {"http": _Pool, "https": TlsPool}


def unix_pools(path: str) -> dict[str, type]:
    """Return pools whose connections all go to a unix socket.

    Args:
        path: the socket's path.
    """

    class Connection(_Connection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, [(socket.AF_UNIX, socket.SOCK_STREAM, 0, path)])

    class Pool(_Pool):
        ConnectionCls = Connection

    return {"http": Pool}


def _resolve(connection: HTTPConnection) -> list[_SocketAddress]:
    host = connection.host.strip("[]")
    try:
        found = socket.getaddrinfo(host, connection.port, allowed_gai_family(), socket.SOCK_STREAM)
    except socket.gaierror as error:
        # It does not tell that the process has too many files open; this does.
        socket.socket().close()
        raise NameResolutionError(connection.host, connection, error) from error
    return [(family, kind, number, address) for family, kind, number, _, address in found]


def _connect(connection: HTTPConnection, addresses: Sequence[_SocketAddress]) -> DeadlineSocket:
    """Connect to the first address that accepts.

    Each has the connection's own timeout, and all together have what is left of the deadline.
    """
    failure: HTTPError = NewConnectionError(connection, "the host has no address")
    for family, kind, number, address in addresses:
        connected = DeadlineSocket(family, kind, number)
        try:
            connected.settimeout(connection.timeout)
            connected._shorten_timeout()
            connected.connect(address)
        except TimeoutError:
            connected.close()
            failure = ConnectTimeoutError(connection, "the host does not accept connections")
        except OSError as error:
            connected.close()
            failure = NewConnectionError(connection, str(error))
            failure.__cause__ = error
        else:
            if family in (socket.AF_INET, socket.AF_INET6):
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connected
    raise failure
