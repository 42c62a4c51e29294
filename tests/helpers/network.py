"""Servers and addresses that fail in ways that a real server can't be made to."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator, Sequence


class Listener:
    """Serves each connection in a thread of its own, until it is closed."""

    scheme = "http"

    def __init__(self, listener: socket.socket | None = None) -> None:
        self._closed = threading.Event()
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self._open = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._closed.set()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError


class FaultyServer(Listener):
    """Answers requests in wrong ways; for faults that a real server can't be made to show.

    ``answers`` are given in turn, the last one again and again; None is silence. With ``drip`` one
    byte is sent each so many seconds. ``received`` holds what clients sent.
    """

    def __init__(
        self,
        answers: Sequence[bytes | None],
        *,
        reset: bool = False,
        drip: float = 0,
        place: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self._answers = list(answers)
        self._reset = reset
        self._drip = drip
        self.received: list[bytes] = []
        super().__init__(socket.create_server(place))

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while request := _request_from(connection):
                self.received.append(request)
                if self._reset:
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    connection.close()
                    return
                several = len(self._answers) > 1
                answer = self._answers.pop(0) if several else self._answers[0]
                if answer is not None:
                    self._send(connection, answer)

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        if not self._drip:
            connection.sendall(answer)
            return
        for octet in answer:
            connection.sendall(bytes([octet]))
            if self._closed.wait(self._drip):
                return


def _request_from(connection: socket.socket) -> bytes:
    """Read one request, its body too; what is no HTTP comes as it is."""
    request = connection.recv(65536)
    while request[:1].isalpha() and b"\r\n\r\n" not in request:
        request += connection.recv(65536)
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body if head else b""


class Relay(Listener):
    """Passes bytes between clients and a server, slowly or not all of them.

    With ``drip`` each byte of the server, or each ``piece`` of more, waits so many seconds. While
    ``cut`` is set, the server gets the next request, and its answer is thrown away with the
    connection.
    """

    def __init__(
        self,
        url: str,
        *,
        drip: float = 0,
        piece: int = 1,
        listener: socket.socket | None = None,
    ) -> None:
        self.scheme, _, server = url.partition("://")
        self._server = server.partition(":")[0], int(server.partition(":")[2])
        self.drip = drip
        self._piece = piece
        self.cut = False
        self.connections = 0
        super().__init__(listener)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            server = socket.create_connection(self._server)
            self._open.append(server)
            self.connections += 1
            threading.Thread(target=self._there, args=(client, server), daemon=True).start()
            self._back(client, server)

    def _there(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)

    def _back(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.cut:
                    self.cut = False
                    client.shutdown(socket.SHUT_RDWR)
                    return
                size = self._piece if self.drip else len(data)
                for start in range(0, len(data), size):
                    client.sendall(data[start : start + size])
                    if self.drip and self._closed.wait(self.drip):
                        return


@contextlib.contextmanager
def full_queue() -> Iterator[str]:
    """The address of a port that answers no attempt to connect: its queue is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = [socket.socket() for _ in range(4)]
    for each in waiting:
        each.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            each.connect(listener.getsockname())
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    for each in (*waiting, listener):
        each.close()


def http_answer(
    body: bytes = b"", status: str = "200 OK", kind: str = "application/json", extra: str = ""
) -> bytes:
    """An HTTP response as it goes over the wire."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body
