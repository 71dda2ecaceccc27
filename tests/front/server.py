"""The embedded ClickHouse engine behind ClickHouse's HTTP interface, as far as clickhouse-connect speaks it.

The engine serves one path per process, so this runs in a process of its own. Statements run one at a time,
each on a handle of its own with the database and settings of its request. `/faults` plans what happens to
the next inserts, or to all of them until it is told otherwise: `refuse` answers 503 before anything is written,
`drop` writes and closes the connection before the answer, `error` answers with an engine's error code, `slow`
writes and answers late.
"""

import gzip
import json
import re
import sys
import tempfile
import threading
import time
import uuid
import zlib
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import chdb
import lz4.frame
from clickhouse_connect.driver.compression import _zstd_decompress

_NOT_SETTINGS: Final = {
    "query",
    "database",
    "query_id",
    "session_id",
    "session_timeout",
    "session_check",
    "compress",
    "decompress",
    "wait_end_of_query",
    "buffer_size",
    "quota_key",
    "role",
    "client_protocol_version",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "enable_http_compression",
    "cancel_http_readonly_queries_on_client_close",
}
"""Parameters that speak of HTTP, not of the statement."""
_DATA_INSERT: Final = re.compile(rb"\s*(INSERT\s+INTO\s[^;]*?)\s+FORMAT\s+(\w+)[ \t]*(?:\n|$)", re.I | re.S)
_RESULT: Final = re.compile(r"\s*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN)\b", re.I)
_FORMAT: Final = re.compile(r"\sFORMAT\s+(\w+)\s*;?\s*$", re.I)
_CODE: Final = re.compile(r"Code:\s*(\d+)")
# An insert of several blocks is as many lz4 frames, and `lz4.frame.decompress` would stop after the first.
_DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "lz4": lambda data: lz4.frame.LZ4FrameFile(BytesIO(data)).read(),
    "zstd": _zstd_decompress,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}


class Answer(NamedTuple):
    """What a statement gave."""

    body: bytes
    format: str
    """Name of the format; empty for a statement without a result."""
    written_rows: int


class Engine:
    """The engine on one path."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        # The engine lives as long as a handle is open.
        self._kept_open = chdb.connect(path)

    def run(self, sql: bytes, data: bytes | None, parameters: dict[str, str]) -> Answer:
        """Run a statement. Raises RuntimeError with the engine's text."""
        with self._lock, chdb.connect(self._path) as handle:
            handle.query(f"USE {_quoted(parameters.get('database') or 'default', '`')}")
            for name, value in parameters.items():
                if name not in _NOT_SETTINGS and not name.startswith("param_"):
                    handle.query(f"SET {_quoted(name, '`')} = {_quoted(value, chr(39))}")
            insert = _DATA_INSERT.match(sql)
            if insert and (data is not None or insert.end() < len(sql)):
                return self._insert(handle, insert, sql[insert.end() :] if data is None else data)
            text = sql.decode() if data is None else sql.decode() + "\n" + data.decode()
            bound = {
                name.removeprefix("param_"): value for name, value in parameters.items() if name.startswith("param_")
            }
            result = handle.query(text, "TabSeparated", params=bound)
            asked = _FORMAT.search(text)
            shown = (asked[1] if asked else "TabSeparated") if _RESULT.match(text) else ""
            return Answer(result.bytes() or b"", shown, 0)

    def _insert(self, handle: Any, insert: re.Match[bytes], data: bytes) -> Answer:
        with tempfile.NamedTemporaryFile(suffix=".data") as file:
            file.write(data)
            file.flush()
            head, form = insert[1].decode(), insert[2].decode()
            result = handle.query(f"{head} FROM INFILE '{file.name}' FORMAT {form}", "TabSeparated")
            return Answer(b"", "", result.rows_read())


class Faults:
    """What will happen to the next inserts, and how many were written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[tuple[str, int]] = []
        self._lasting = ("", 0)
        self.inserts_written = 0
        self.happened = 0

    def plan(self, kind: str, count: int, code: int) -> None:
        """Let the next `count` inserts end as `kind`, below 0 all of them; 0 of them forgets all plans."""
        with self._lock:
            if count < 0:
                self._lasting = (kind, code)
            elif count:
                self._planned += [(kind, code)] * count
            else:
                self._planned, self._lasting = [], ("", 0)

    def take(self) -> tuple[str, int]:
        """What happens to this insert: a kind and a code (ms for `slow`); the kind is empty for nothing."""
        with self._lock:
            fault = self._planned.pop(0) if self._planned else self._lasting
            self.happened += bool(fault[0])
            return fault

    def written(self) -> None:
        """Count an insert."""
        with self._lock:
            self.inserts_written += 1

    def state(self) -> dict[str, int]:
        """For the answer of `/faults`."""
        return {
            "planned": len(self._planned),
            "inserts_written": self.inserts_written,
            "happened": self.happened,
        }


class Server(ThreadingHTTPServer):
    """Holds what the requests share."""

    daemon_threads = True

    def __init__(self, engine: Engine, port: int) -> None:
        self.engine = engine
        self.faults = Faults()
        super().__init__(("127.0.0.1", port), Handler)


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Answer a query in the address, `/ping` or `/faults`."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer a statement in the body or the address."""
        self._answer(_read_body(self.rfile, self.headers))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, body: bytes) -> None:
        address = urlsplit(self.path)
        parameters = {name: values[-1] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        if address.path == "/ping":
            self._send(200, b"Ok.\n", {})
        elif address.path == "/faults":
            if self.command == "POST":
                count, code = int(parameters.get("count", "0")), int(parameters.get("code", "0"))
                self.server.faults.plan(parameters.get("kind", ""), count, code)
            self._send(200, json.dumps(self.server.faults.state()).encode(), {})
        elif self.headers.get_content_type().startswith("multipart/"):
            self._fail(501, 48, "the front reads no forms")
        else:
            self._statement(body, parameters)

    def _statement(self, body: bytes, parameters: dict[str, str]) -> None:
        in_address = parameters.get("query", "").encode()
        sql, data = (in_address, body or None) if in_address else (body, None)
        is_insert = sql[:64].lstrip()[:6].upper() == b"INSERT"
        fault, code = self.server.faults.take() if is_insert else ("", 0)
        if fault == "refuse":
            self._send(503, b"refused\n", {})
            return
        if fault == "error":
            self._fail(500, code, "planned error")
            return
        try:
            answer = self.server.engine.run(sql, data, parameters)
        except RuntimeError as error:
            found = _CODE.search(str(error))
            self._fail(500, int(found[1]) if found else 1002, str(error))
            return
        if is_insert:
            self.server.faults.written()
        if fault == "slow":
            time.sleep(code / 1000)  # the fault itself
        if fault == "drop":
            self.close_connection = True
            return
        headers = {"X-ClickHouse-Summary": json.dumps({"written_rows": str(answer.written_rows)})}
        if answer.format:
            headers["X-ClickHouse-Format"] = answer.format
        self._send(
            200, answer.body, {"X-ClickHouse-Query-Id": parameters.get("query_id", str(uuid.uuid4())), **headers}
        )

    def _fail(self, status: int, code: int, text: str) -> None:
        body = text if text.startswith("Code:") else f"Code: {code}. DB::Exception: {text}"
        self._send(status, body.encode(), {"X-ClickHouse-Exception-Code": str(code)})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"X-ClickHouse-Timezone": "UTC", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _read_body(stream: BufferedIOBase, headers: Message) -> bytes:
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        parts = []
        while size := int(stream.readline().split(b";")[0], 16):
            parts.append(stream.read(size))
            stream.readline()
        stream.readline()
        body = b"".join(parts)
    else:
        body = stream.read(int(headers.get("Content-Length", "0")))
    encoding = headers.get("Content-Encoding", "identity")
    return body if encoding == "identity" else _DECODERS[encoding](body)


def _quoted(text: str, quote: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}"


def main(path: str, port: str) -> None:
    """Serve PATH on PORT (0 takes a free one) until stdin ends; the first line on stdout is the port."""
    server = Server(Engine(str(Path(path).resolve())), int(port))
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
