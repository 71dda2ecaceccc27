"""Raw produce: batches of records as bytes, sent to a broker as no sane producer would send them.

For records that clients refuse to build: names of headers that are no text, a codec that nobody knows.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Final

from aiokafka.record.util import calc_crc32c_py

Header = tuple[bytes, bytes | None]
CRC_AT: Final = 17
ATTRIBUTES_AT: Final = 21
ACKS_ALL: Final = -1


def varint(number: int) -> bytes:
    """Zigzag varint, as record format 2 has it."""
    rest, out = (number << 1) ^ (number >> 63), bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def sized(held: bytes | None) -> bytes:
    """Bytes behind their length; -1 for null."""
    return varint(-1) if held is None else varint(len(held)) + held


def batch(key: bytes | None, value: bytes | None, headers: Sequence[Header], *, codec: int = 0) -> bytes:
    """A batch of one record in format 2 with a sound checksum; not compressed, whatever `codec` says."""
    body = b"\0" + varint(0) + varint(0) + sized(key) + sized(value) + varint(len(headers))
    body += b"".join(varint(len(name)) + name + sized(held) for name, held in headers)
    record = varint(len(body)) + body
    rest = struct.pack(">hiqqqhii", codec, 0, 0, 0, -1, -1, -1, 1) + record
    checked = struct.pack(">I", calc_crc32c_py(rest)) + rest
    return struct.pack(">qiib", 0, 4 + 1 + len(checked), 0, 2) + checked


def produce(bootstrap: str, topic: str, partition: int, records: bytes) -> int:
    """Send one Produce request (version 3); the broker's error code, 0 when it has taken the batch."""
    name = topic.encode()
    request = struct.pack(">hhi", 0, 3, 1) + _string(b"raw") + struct.pack(">hhi", -1, ACKS_ALL, 30_000)
    request += struct.pack(">i", 1) + _string(name) + struct.pack(">iii", 1, partition, len(records)) + records
    host, port = bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        size = struct.unpack(">i", _exactly(connection, 4))[0]
        answer = _exactly(connection, size)
    # correlation id, one topic, its name, one partition, its number: then the error
    at = 4 + 4 + 2 + len(name) + 4 + 4
    return int(struct.unpack(">h", answer[at : at + 2])[0])


def _string(text: bytes) -> bytes:
    return struct.pack(">h", len(text)) + text


def _exactly(connection: socket.socket, size: int) -> bytes:
    out = b""
    while len(out) < size:
        part = connection.recv(size - len(out))
        assert part, "the broker hung up"
        out += part
    return out
