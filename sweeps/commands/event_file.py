"""TensorBoard's event files, written without TensorBoard: scalars by step, and texts.

A file is a sequence of TFRecords, each an `Event` of TensorFlow's protocol buffers: its length in 8 bytes, a masked
CRC32C of these, the event, a masked CRC32C of it. Field numbers below are those of the sources, and never change.

Source: TensorFlow's core/lib/io/record_writer.h, core/util/event.proto, core/framework/summary.proto and tensor.proto.
"""

import math
import struct
from collections.abc import Mapping
from typing import BinaryIO, Final

VERSION: Final = "brain.Event:2"

_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
"""Wire types of protocol buffers."""

_STRING: Final = 7
"""DT_STRING of tensors."""

_POLYNOMIAL: Final = 0x82F63B78
"""CRC32C's, its bits reversed."""


class EventFile:
    """Writes one run's events to an open file; the first says the format's version."""

    def __init__(self, stream: BinaryIO, wall_time: float) -> None:
        self._stream = stream
        self._write(wall_time, 0, _text(3, VERSION))

    def scalars(self, values: Mapping[str, float], *, step: int, wall_time: float) -> None:
        """One event with all of them.

        Args:
            values: by tag; stored as 32-bit floats.
            step: >= 0.
            wall_time: seconds since 1970.
        """
        each = [_text(1, tag) + _field(2, _FLOAT, _float32(value)) for tag, value in values.items()]
        self._write(wall_time, step, _message(5, b"".join(_message(1, value) for value in each)))

    def text(self, tag: str, text: str, *, wall_time: float) -> None:
        """A text at step 0, which TensorBoard renders as Markdown."""
        shape = _message(2, _message(2, _number(1, 1)))  # one dimension of size 1
        tensor = _number(1, _STRING) + shape + _text(8, text)
        plugin = _message(9, _message(1, _text(1, "text")))
        value = _text(1, f"{tag}/text_summary") + plugin + _message(8, tensor)
        self._write(wall_time, 0, _message(5, _message(1, value)))

    def _write(self, wall_time: float, step: int, what: bytes) -> None:
        event = _field(1, _DOUBLE, struct.pack("<d", wall_time)) + (_number(2, step) if step else b"") + what
        length = struct.pack("<Q", len(event))
        for part in (length, event):
            self._stream.write(part)
            self._stream.write(struct.pack("<I", masked_crc32c(part)))


def masked_crc32c(data: bytes) -> int:
    """The checksum of a record: CRC32C (Castagnoli), rotated and shifted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE: Final = tuple(_remainder(byte) for byte in range(256))


def _float32(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:  # beyond what 32 bits hold
        return struct.pack("<f", math.copysign(math.inf, value))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, wire: int, content: bytes) -> bytes:
    return _varint(number << 3 | wire) + content


def _number(number: int, value: int) -> bytes:
    return _field(number, _VARINT, _varint(value))


def _message(number: int, content: bytes) -> bytes:
    return _field(number, _BYTES, _varint(len(content)) + content)


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())
