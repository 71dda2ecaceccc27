"""Endpoint: metrics, liveness and readiness over HTTP, from threads of their own.

`/metrics` is for Prometheus. `/healthz` answers 200 while the role turns its loops and makes progress or has
none to make, 503 otherwise; `/readyz` 200 once it does its whole share. Both say why in JSON, also when the
event loop is blocked: nothing here waits for it.
"""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from kpistream.errors import ConfigError
from kpistream.health import Health

_STALLED_S: Final = 30.0
_CLIENT_LIMIT_S: Final = 10.0
_HINT: Final = "its thread is gone or stuck: restart the process and report this"


def healthz(health: Health) -> tuple[int, dict[str, Any]]:
    """Status and body of liveness."""
    faults = [{"fault": str(fault), "hint": fault.hint} for fault in health.faults()]
    return 503 if faults else 200, {"role": health.role, "alive": not faults, "faults": faults}


def readyz(health: Health) -> tuple[int, dict[str, Any]]:
    """Status and body of readiness; what is stuck is not ready either."""
    waits = [*map(str, health.faults()), *health.waits_for()]
    return 503 if waits else 200, {"role": health.role, "ready": not waits, "waits_for": waits}


def serve(registry: CollectorRegistry, health: Health, host: str, port: int) -> int:
    """Serve for the rest of the process's life; the port that was taken (useful with 0). Raises ConfigError."""
    try:
        server = _server(registry, health, host, port)
    except OSError as error:
        raise ConfigError(
            f"KPISTREAM_METRICS_PORT: {host}:{port} cannot be opened: {error.strerror} (0 takes a free port)"
        ) from error
    threading.Thread(target=server.serve_forever, name="endpoint", daemon=True).start()
    return int(server.server_address[1])


def _server(registry: CollectorRegistry, health: Health, host: str, port: int) -> ThreadingHTTPServer:
    pulse = health.pulse("metrics endpoint has not turned", _HINT, _STALLED_S)
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]

    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_LIMIT_S

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path in ("/healthz", "/readyz"):
                status, body = healthz(health) if path == "/healthz" else readyz(health)
                self._answer(status, "application/json", json.dumps(body).encode() + b"\n")
            elif path in ("/", "/metrics"):
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, kind, encode(registry))
            else:
                self._answer(404, "text/plain", b"here are /metrics, /healthz and /readyz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Probes are nothing to log."""

    class Server(ThreadingHTTPServer):
        address_family = family

        def service_actions(self) -> None:
            pulse.beat()

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that goes away early is nothing to log."""

    server = Server((host, port), Handler)
    pulse.beat()
    return server
