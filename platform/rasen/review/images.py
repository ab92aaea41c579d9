"""Pictures in outputs: what is one, and whether two show the same, whatever their files hold beside the pixels."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterator

_BEGINNINGS = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}
RASTER_TYPES = frozenset(_BEGINNINGS)
"""The types of pictures that a page may show as they are."""
_MOST_PIXEL_BYTES = 64 * 1024**2
# What makes the picture; the rest of a PNG tells of programs, times and resolutions.
_PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS"}


def decode_image(mime: str, text: str) -> bytes | None:
    """Return the bytes of a picture in base64, or `None` when they are not what the type says."""
    if mime not in _BEGINNINGS:
        return None
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if data.startswith(_BEGINNINGS[mime]) else None


def same_image(mime: str, left: str, right: str) -> bool:
    """Tell whether two pictures in base64 show the same; only of PNG the pixels are looked at."""
    if left == right:
        return True
    old, new = decode_image(mime, left), decode_image(mime, right)
    if old is None or new is None:
        return False
    if old == new:
        return True
    if mime != "image/png":
        return False
    first, second = _png_digest(old), _png_digest(new)
    return first is not None and first == second


def _png_digest(data: bytes) -> str | None:
    """Return a digest of a PNG's size, palette and scan lines; `None` when it is broken or too large to unpack."""
    digest = hashlib.sha256()
    unpacker = zlib.decompressobj()
    unpacked = 0
    for kind, body in _png_chunks(data):
        if kind in _PNG_CHUNKS:
            digest.update(kind + body)
        elif kind == b"IDAT":
            packed = body
            try:
                while packed:
                    lines = unpacker.decompress(packed, 1 << 20)
                    unpacked += len(lines)
                    if unpacked > _MOST_PIXEL_BYTES:
                        return None
                    digest.update(lines)
                    packed = unpacker.unconsumed_tail
            except zlib.error:
                return None
    return digest.hexdigest() if unpacker.eof else None


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        place += 12 + size
