"""A picture is its pixels: whatever its EXIF block holds, it is read upright or told to be broken, by a ValueError."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from embedding_core.data.readers.decode import decode_image

Entry = tuple[int, int, int, bytes]
"""Tag, type, count, data."""

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Bytes of a value by its type."""

ORIENTATION: Entry = (274, 3, 1, struct.pack("<H", 6))

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, of metadata


def directory(entries: list[Entry], at: int) -> bytes:
    head, tail, offset = struct.pack("<H", len(entries)), b"", at + 2 + 12 * len(entries) + 4
    for tag, kind, count, data in sorted(entries):
        if len(data) <= 4:
            head += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
        else:
            head += struct.pack("<HHII", tag, kind, count, offset + len(tail))
            tail += data
    return head + struct.pack("<I", 0) + tail


def block(main: list[Entry], below: dict[int, list[Entry]]) -> bytes:
    at = 8 + 2 + 12 * (len(main) + len(below)) + 4 + sum(len(data) for *_, data in main if len(data) > 4)
    entries, tail = list(main), b""
    for tag, own in below.items():
        entries.append((tag, 4, 1, struct.pack("<I", at + len(tail))))
        tail += directory(own, at + len(tail))
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory(entries, 8) + tail


def encoded(exif: bytes, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 24, 3), np.uint8)
    Image.fromarray(pixels).save(stream, kind, exif=exif)
    return stream.getvalue()


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Tags of the kinds that cameras and editors write, and others, with any type."""
    found = {}
    known = [270, 271, 282, 283, 296, 305, 306, 315, 0x9204, 0x9286, 0xA002, 0x927C, 1, 2, 5, 6, 29]
    for tag in draw(st.lists(st.one_of(st.sampled_from(known), st.integers(0, 65535)), max_size=6)):
        kind = draw(st.sampled_from([*SIZES, 13, 99]))
        count = draw(st.integers(0, 3))
        size = SIZES.get(kind, 4) * count
        found[tag] = (tag, kind, count, draw(st.binary(min_size=size, max_size=size)))
    found.pop(274, None)
    for below in (0x8769, 0x8825):
        found.pop(below, None)
    return list(found.values())


@settings(max_examples=100, deadline=None)
@given(entries(), entries(), entries(), st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_whatever_else_the_exif_says_pictures_come_upright(
    main: list[Entry], exif: list[Entry], gps: list[Entry], kind: str
) -> None:
    whole = block([ORIENTATION, *main], {0x8769: exif, 0x8825: gps})
    assert decode_image(encoded(whole, kind)).size == (12, 24)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 220))
def test_damaged_blocks_hurt_no_pixel(noise: bytes, cut: int) -> None:
    whole = block([ORIENTATION], {0x8769: [(0x9204, 10, 1, b"\0" * 8)]})
    picture = decode_image(encoded(whole[:6] + (whole[6:] + noise)[:cut]))
    assert picture.size in ((24, 12), (12, 24))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(orientation: int) -> None:
    file = encoded(block([(274, 3, 1, struct.pack("<H", orientation))], {}))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
    assert np.array_equal(np.asarray(decode_image(file)), np.asarray(expected))


def test_whatever_a_decoder_raises_is_told_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumbles(*arguments: object, **keywords: object) -> None:
        raise AttributeError("'float' object has no attribute 'encode'")

    monkeypatch.setattr(Image, "open", stumbles)
    with pytest.raises(ValueError, match="AttributeError: 'float' object has no attribute"):
        decode_image(b"")
