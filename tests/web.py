"""A web server on loopback that answers each path with the very bytes it is given, and remembers what it was asked."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[["Request"], None]


@dataclass
class Request:
    """One request, and the connection that it came by.

    Attributes:
        method: such as `GET`.
        path: with its query.
        headers: their names in small letters.
        connection: where the answer goes.
        keep: whether more requests may come by the connection.
    """

    method: str
    path: str
    headers: dict[str, str]
    connection: socket.socket
    keep: bool = False

    def send(self, *lines: str, body: bytes = b"") -> None:
        """Send a head of these lines and some of a body; HEAD gets no body."""
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if self.method != "HEAD":
            self.connection.sendall(body)

    def whole(self, body: bytes, *headers: str) -> None:
        """Send a body with its length, and keep the connection."""
        self.send("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, body=body)
        self.keep = True

    def ranged(self, body: bytes, *headers: str) -> None:
        """Send a body, or the part of it that is asked for."""
        span = self.headers.get("range")
        if span is None:
            self.whole(body, "Accept-Ranges: bytes", *headers)
            return
        first, _, last = span.removeprefix("bytes=").partition("-")
        part = body[int(first) : int(last) + 1]
        told = f"Content-Range: bytes {first}-{int(first) + len(part) - 1}/{len(body)}"
        self.send("HTTP/1.1 206 Partial Content", f"Content-Length: {len(part)}", told, *headers, body=part)
        self.keep = True


@dataclass
class Site:
    """A running server.

    Attributes:
        url: its address.
        routes: what answers each path, its query left out.
        asked: every request, in order: method, path, `Range` or an empty text.
        agents: every `User-Agent`.
        connections: how many were made.
    """

    url: str
    routes: dict[str, Answer]
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    connections: int = 0

    def count(self, path: str, method: str = "GET") -> int:
        """Count the requests for a path."""
        return sum(each[:2] == (method, path) for each in self.asked)

    def _serve(self, connection: socket.socket) -> None:
        self.connections += 1
        with connection, suppress(OSError):
            stream = connection.makefile("rb")
            while line := stream.readline().decode("latin-1").split():
                headers = {}
                while text := stream.readline().decode("latin-1").strip():
                    name, _, value = text.partition(":")
                    headers[name.lower()] = value.strip()
                request = Request(line[0], line[1], headers, connection)
                self.asked.append((request.method, request.path, headers.get("range", "")))
                self.agents.add(headers.get("user-agent", ""))
                answer = self.routes.get(request.path.partition("?")[0])
                if answer is None:
                    request.send("HTTP/1.1 404 Not Found", "Content-Length: 0")
                else:
                    answer(request)
                if not request.keep:
                    return


@contextmanager
def site(routes: dict[str, Answer], *, host: str = "127.0.0.1") -> Iterator[Site]:
    """Run a server.

    Args:
        routes: what answers each path.
        host: the address that it listens on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=256) as listener:
        told = f"[{host}]" if ":" in host else host
        running = Site(f"http://{told}:{listener.getsockname()[1]}", routes)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=running._serve, args=(connection,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield running
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
