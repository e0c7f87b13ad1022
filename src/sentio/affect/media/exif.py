"""How a photograph is to be turned: the orientation that its EXIF data state."""

import struct
from collections.abc import Iterator

from sentio.affect.media.orientation import Orientation

TAG = 0x0112
MARK = b"Exif\0\0"
KINDS = (b"eXIf", b"EXIF")
"""Names of the part in PNG and WebP; a JPEG has it in a segment that begins with `MARK`."""

ORIENTATIONS = {
    1: Orientation(),
    2: Orientation(left_right=True),
    3: Orientation(left_right=True, upside_down=True),
    4: Orientation(upside_down=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, left_right=True),
    7: Orientation(transposed=True, left_right=True, upside_down=True),
    8: Orientation(transposed=True, upside_down=True),
}
"""By the value of the tag; see CIPA DC-008, 4.6.5."""


def exif_orientation(data: bytes) -> Orientation:
    """The orientation of a JPEG, PNG, WebP or TIFF file; upright where it states none that is known.

    FFmpeg knows the quarter turns of a still picture, but not whether it is mirrored, and nothing of a TIFF's.
    """
    try:
        return ORIENTATIONS.get(_tag(_exif(data)), Orientation())
    except struct.error:  # cut off
        return Orientation()


def _exif(data: bytes) -> bytes:
    """The EXIF block, which is built like a TIFF file; empty without one."""
    if data.startswith((b"II*\0", b"MM\0*")):
        return data
    parts = _parts(data)
    return next((body.removeprefix(MARK) for kind, body in parts if kind in KINDS or body.startswith(MARK)), b"")


def _parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the parts before the picture of a JPEG, and of all parts of a PNG or WebP."""
    jpeg, png = data.startswith(b"\xff\xd8"), data.startswith(b"\x89PNG")
    place = 2 if jpeg else 8 if png else 12
    while place < len(data):
        if jpeg:
            kind, length = struct.unpack_from(">2sH", data, place)
            head, length, tail = 4, max(0, length - 2), 0  # the length counts itself
        elif png:
            length, kind = struct.unpack_from(">I4s", data, place)
            head, tail = 8, 4  # a checksum
        else:
            kind, length = struct.unpack_from("<4sI", data, place)
            head, tail = 8, length % 2
        if kind == b"\xff\xda" or (jpeg and kind[0] != 0xFF):
            return
        yield kind, data[place + head : place + head + length]
        place += head + length + tail


def _tag(block: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for k in range(count):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * k)
        if tag == TAG:
            return int(value)
    return 1
