"""What page and server say to each other: checked when it comes, finite when it goes.

A binary message has a header of 16 bytes: its kind (1 a picture, 2 sound), seven zeros, and the capture time as
float64, little endian, in seconds on the page's own clock. Behind it lies a JPEG, or mono sound at 16 kHz as int16,
little endian, whose first sample has that time. A text message is a JSON object whose ``type`` says what it is.
"""

import json
import math
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sentio.affect.analysis.rows import Row
from sentio.affect.analysis.voice import VoiceScore
from sentio.affect.faces.detection import Image
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.media import AudioBlock
from sentio.affect.table import AFFECT, VOICE
from sentio.core.errors import InputError, SentioError

PICTURE, SOUND = 1, 2
HEADER = struct.Struct("<B7sd")
MAX_PICTURE_BYTES = 2_000_000
MAX_SIDE = 4096
"""Pixels; a picture of 4096 x 4096 takes 50 MB of memory."""
MAX_SCANS = 100
"""A progressive JPEG of two megabytes may have scans that take minutes."""
MAX_SOUND_BYTES = 64_000
"""Two seconds."""
MAX_TEXT_BYTES = 4_000
MAX_TIME_S = 1e9
TOO_LARGE, BAD_DATA, BAD_ORDER = 1009, 1007, 1008
"""Codes with which a session is closed (RFC 6455, section 7.4.1)."""

FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG behind which its size stands (ITU-T T.81, table B.1)."""
SENT = tuple(column.name for column in AFFECT.columns if column.name != "file" and column not in VOICE)
"""Columns of the rows that are sent; scores of the voice have a message of their own."""


class MessageError(InputError):
    """A message that breaks the protocol; the session ends.

    Args:
        what: what is wrong with it.
        code: with which the connection is closed.
    """

    def __init__(self, what: str, code: int = BAD_DATA) -> None:
        super().__init__(what)
        self.code = code

    def __reduce__(self) -> Any:
        return type(self), (self.what, self.code)


@dataclass(frozen=True)
class Picture:
    """A JPEG, not decoded yet, its capture time in seconds, and when it came, on `time.monotonic`."""

    time_s: float
    jpeg: bytes
    came_s: float = field(default_factory=time.monotonic)


class _Wish(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Open(_Wish):
    """Begin: with sound or without, with this model or the server's own choice. Again, to change the model."""

    type: Literal["open"]
    sound: bool = False
    model: Annotated[str, Field(max_length=200)] | None = None


class Record(_Wish):
    """Begin or end a recording."""

    type: Literal["record"]
    on: bool
    name: Annotated[str, Field(max_length=100)] | None = None


class Event(_Wish):
    """Something happened at a time of the page's clock, in seconds."""

    type: Literal["event"]
    time_s: Annotated[float, Field(ge=-MAX_TIME_S, le=MAX_TIME_S)]
    label: Annotated[str, Field(min_length=1, max_length=200)]


class Name(_Wish):
    """What a person is called; the empty name takes it away."""

    type: Literal["name"]
    person: Annotated[int, Field(ge=0, lt=2**31)]
    name: Annotated[str, Field(max_length=100)]


class Pause(_Wish):
    """Hold the server's source, or let it go on."""

    type: Literal["pause"]
    on: bool


Wish = Open | Record | Event | Name | Pause
Message = Picture | AudioBlock | Wish
_WISH: TypeAdapter[Wish] = TypeAdapter(Annotated[Wish, Field(discriminator="type")])


def parse(data: bytes | str) -> Message:
    """What a message of the page says; a picture is not decoded yet, but its size is known to be bearable.

    Raises:
        MessageError: too large, malformed, or with a time that is none.
    """
    return _parse_text(data) if isinstance(data, str) else _parse_binary(data)


def _parse_text(text: str) -> Wish:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise MessageError(f"A text message has at most {MAX_TEXT_BYTES} bytes.", TOO_LARGE)
    try:
        return _WISH.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "it"
        raise MessageError(f"A text message is not understood: {place}: {first['msg']}.") from error


def _parse_binary(data: bytes) -> Picture | AudioBlock:
    if len(data) <= HEADER.size:
        raise MessageError(f"A binary message of {len(data)} bytes holds nothing behind its header.")
    kind, zeros, time_s = HEADER.unpack_from(data)
    if kind not in (PICTURE, SOUND) or any(zeros):
        raise MessageError("A binary message begins with 1 for a picture or 2 for sound, then seven zeros.")
    if not abs(time_s) <= MAX_TIME_S:  # false for NaN, too
        raise MessageError(f"A message has the time {time_s} s.")
    payload = data[HEADER.size :]
    return Picture(time_s, _checked(payload)) if kind == PICTURE else AudioBlock(time_s, _samples(payload))


def _samples(data: bytes) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(N,) float32 in [-1, 1) from int16."""
    if len(data) > MAX_SOUND_BYTES:
        raise MessageError(f"A message of sound has at most {MAX_SOUND_BYTES} bytes.", TOO_LARGE)
    if len(data) % 2:
        raise MessageError("A message of sound has two bytes for each sample.")
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


def _checked(jpeg: bytes) -> bytes:
    """A JPEG that is whole and of a size that can be decoded."""
    if len(jpeg) > MAX_PICTURE_BYTES:
        raise MessageError(f"A picture has at most {MAX_PICTURE_BYTES} bytes.", TOO_LARGE)
    width, height = jpeg_size(jpeg)
    if not 0 < max(width, height) <= MAX_SIDE or not min(width, height):
        raise MessageError(f"A picture has 1 to {MAX_SIDE} pixels a side, not {width} x {height}.", TOO_LARGE)
    if jpeg.count(b"\xff\xda") > MAX_SCANS or not jpeg.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise MessageError(f"A picture is a JPEG that is cut off, or of over {MAX_SCANS} scans.")
    return jpeg


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """(width, height) in pixels, from the header alone.

    Raises:
        MessageError: it is no JPEG.
    """
    at = 2
    while jpeg[:2] == b"\xff\xd8" and at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker in FRAME_HEADERS:
            return int.from_bytes(jpeg[at + 7 : at + 9], "big"), int.from_bytes(jpeg[at + 5 : at + 7], "big")
        if marker == 0xFF:  # a byte of filling
            at += 1
        elif marker < 0xC0 or 0xD0 <= marker <= 0xDA or length < 2:  # no segment, or the picture itself
            break
        else:
            at += 2 + length
    raise MessageError("A picture is no JPEG.")


def decode(jpeg: bytes) -> Image:
    """The pixels of a picture that was checked: uint8 (H, W, 3) RGB, as stored, whatever it says of its orientation.

    Raises:
        MessageError: it cannot be decoded.
    """
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise MessageError("A picture is a JPEG that cannot be decoded.") from error
    if image is None:
        raise MessageError("A picture is a JPEG that cannot be decoded.")
    return np.asarray(image, np.uint8)


def picture_message(time_s: float, jpeg: bytes) -> bytes:
    """A picture as it travels, in either direction."""
    return HEADER.pack(PICTURE, bytes(7), time_s) + jpeg


def sound_message(block: AudioBlock) -> bytes:
    """Sound as it travels to the server."""
    samples = np.clip(np.round(block.samples * 32768), -32768, 32767).astype("<i2")
    return HEADER.pack(SOUND, bytes(7), block.time_s) + samples.tobytes()


def frame_message(time_s: float, size: tuple[int, int], rows: Iterable[Row], work_ms: float) -> str:
    """The answer to a picture of ``size`` (width, height): the rows that are decided by now."""
    told = [{name: _plain(row.get(name)) for name in SENT} for row in rows]
    return text_message("frame", time_s=time_s, size=size, rows=told, work_ms=round(work_ms, 3))


def voice_message(score: VoiceScore) -> str:
    """A score of the voice; its affect is null without speech."""
    expression = None if score.expression is None else EXPRESSIONS[int(score.expression.argmax())]
    affect = {"valence": _plain(score.valence), "arousal": _plain(score.arousal), "expression": expression}
    return text_message("voice", time_s=score.time_s, speech=_plain(score.speech), **affect)


def refused_message(error: SentioError) -> str:
    """What was not done, and what helps."""
    return text_message("refused", error=error.what, fix=error.fix)


def text_message(kind: str, **values: Any) -> str:
    """A JSON object of this type."""
    return json.dumps({"type": kind, **values}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> float | int | str | None:
    """As JSON knows it: a number is finite and has six digits behind the point, or is null."""
    if value is None or isinstance(value, str | int):
        return value
    number = float(value)
    return round(number, 6) if math.isfinite(number) else None
