"""A web server on a free port that keeps what it was sent, and answers as it is told to.

With `tls` it is also a proxy: it answers CONNECT to any host itself, so that a library that insists on the address of
its service can be listened to.
"""

import json
import ssl
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self


class Request(NamedTuple):
    """One request."""

    host: str
    """Name that a CONNECT was for; empty without one."""
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Answer(NamedTuple):
    """What is answered."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()


class Recorder:
    """The server. A context manager."""

    def __init__(self, answer: Callable[[Request], Answer] = lambda _: Answer(), tls: ssl.SSLContext | None = None):
        self.requests: list[Request] = []
        self.answer = answer
        self._server = self._made(tls)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _made(self, tls: ssl.SSLContext | None) -> ThreadingHTTPServer:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            host = ""

            def do_CONNECT(self) -> None:
                assert tls is not None
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                self.host = self.path.partition(":")[0]
                self.connection = tls.wrap_socket(self.connection, server_side=True)
                self.rfile = self.connection.makefile("rb")
                self.wfile = self.connection.makefile("wb", buffering=0)
                self.close_connection = False

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                names = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.host, self.path, names, self.rfile.read(length))
                recorder.requests.append(request)
                answer = recorder.answer(request)
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_POST = do_GET  # noqa: N815 the name that http.server calls

            def finish(self) -> None:
                super().finish()
                self.connection.close()

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that goes away early is what some tests are about."""

        return Server(("127.0.0.1", 0), Handler)


def certificate(directory: Path, *hosts: str) -> tuple[Path, Path]:
    """A certificate for these hosts that is its own authority, and its key, as PEM files."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    names = ",".join(f"{'IP' if host[0].isdigit() else 'DNS'}:{host}" for host in hosts)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kpistream test"]
        + ["-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    return cert, key


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """TLS of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
