"""What is derived of images: format, width, height and size in bytes, read from their first bytes; changes with the formats.

Formats are told by the signatures that TFDV's image statistics use (`image_stats_generator.py`), and WebP beside them. No
picture is decoded, since a decoder is slow and is the wrong thing to run on whatever bytes a stranger sends; sizes equal
those of `tf.image.decode_image`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ("format", "width", "height", "bytes")
OTHER = "other"

Size = tuple[int, int]
"""Width and height in pixels."""


def derive_images(column: pa.Array) -> Mapping[str, pa.Array]:
    """Return the columns of a column of encoded images; width and height are null where they cannot be read."""
    raw = column.cast(pa.binary())
    formats: list[str | None] = []
    sizes: list[Size | None] = []
    for value in raw:
        content = value.as_buffer()
        head = None if content is None else memoryview(content)
        formats.append(None if head is None else format_of(head) or OTHER)
        sizes.append(None if head is None else size_of(head))
    return {
        "format": pa.array(formats, pa.string()),
        "width": pa.array([None if size is None else size[0] for size in sizes], pa.int64()),
        "height": pa.array([None if size is None else size[1] for size in sizes], pa.int64()),
        "bytes": pc.binary_length(raw).cast(pa.int64()),
    }


def format_of(content: bytes | memoryview) -> str | None:
    """Return the name of an image's format; None where the bytes are no image that is known."""
    head = bytes(content[:12])
    for name, signature in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    return "webp" if head.startswith(b"RIFF") and head[8:] == b"WEBP" else None


def size_of(content: bytes | memoryview) -> Size | None:
    """Return width and height of an image in pixels, as stored (no rotation by EXIF); None where they cannot be read."""
    name = format_of(content)
    if name is None:
        return None
    try:
        return _SIZES[name](memoryview(content))
    except (struct.error, IndexError):
        return None  # it is cut off


def _png(content: memoryview) -> Size:
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _gif(content: memoryview) -> Size:
    width, height = struct.unpack_from("<HH", content, 6)
    return width, height


def _bmp(content: memoryview) -> Size:
    # A negative height means that the rows go from top to bottom.
    width, height = struct.unpack_from("<ii", content, 18)
    return width, abs(height)


def _jpeg(content: memoryview) -> Size | None:
    """Walk the segments to the frame header: SOF0 to SOF15 but DHT, JPG and DAC (ITU T.81, table B.1)."""
    place = 2
    while True:
        if content[place] != 0xFF:
            return None
        marker = content[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", content, place + 5)
            return width, height
        if marker in {0xD9, 0xDA}:
            return None
        place += 2 if marker == 0x01 or 0xD0 <= marker <= 0xD7 else 2 + struct.unpack_from(">H", content, place + 2)[0]


def _webp(content: memoryview) -> Size | None:
    """Read the first chunk, one of three kinds (RFC 9649, section 2)."""
    kind = bytes(content[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        return (width, height) if len(content) >= 30 else None
    return None


_SIGNATURES = {"bmp": b"BM", "gif": b"GIF8", "jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}
_SIZES: Mapping[str, Callable[[memoryview], Size | None]] = {
    "bmp": _bmp,
    "gif": _gif,
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
}
