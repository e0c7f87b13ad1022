"""What a page may say, and what is refused; hostile messages cost nothing."""

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live_client import jpeg_of, pixels_of
from sentio.affect.analysis.voice import VoiceScore
from sentio.affect.live import messages
from sentio.affect.live.messages import MessageError, parse
from sentio.affect.media import AudioBlock

PICTURE = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
JPEG = jpeg_of(PICTURE)


def header(kind: int, time_s: float, zeros: bytes = bytes(7)) -> bytes:
    return struct.pack("<B7sd", kind, zeros, time_s)


def sized(width: int, height: int) -> bytes:
    """The same JPEG, but its header tells another size."""
    at = JPEG.index(b"\xff\xc0")
    return JPEG[: at + 5] + struct.pack(">HH", height, width) + JPEG[at + 9 :]


def test_a_picture_comes_as_it_was_sent() -> None:
    found = parse(messages.picture_message(12.5, JPEG))
    assert (found.time_s, found.jpeg) == (12.5, JPEG)
    assert messages.jpeg_size(JPEG) == (32, 24)
    assert np.array_equal(messages.decode(found.jpeg), pixels_of(JPEG))


def test_a_grey_picture_has_three_colours() -> None:
    import cv2

    grey = cv2.imencode(".jpg", PICTURE[..., 0])[1].tobytes()
    assert messages.decode(parse(messages.picture_message(0.0, grey)).jpeg).shape == (24, 32, 3)


def test_sound_comes_as_it_was_sent() -> None:
    samples = np.array([0, 0.5, -1, 2], np.float32)
    found = parse(messages.sound_message(AudioBlock(-3.0, samples)))
    assert found.time_s == -3.0 and found.samples.dtype == np.float32
    assert found.samples == pytest.approx([0, 0.5, -1, 1], abs=1e-4)


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ('{"type":"open"}', messages.Open, {"sound": False, "model": None}),
        ('{"type":"open","sound":true,"model":"face"}', messages.Open, {"sound": True, "model": "face"}),
        ('{"type":"record","on":true,"name":"Zoë"}', messages.Record, {"on": True, "name": "Zoë"}),
        ('{"type":"event","time_s":1,"label":"x"}', messages.Event, {"time_s": 1.0, "label": "x"}),
        ('{"type":"name","person":3,"name":""}', messages.Name, {"person": 3, "name": ""}),
        ('{"type":"pause","on":false}', messages.Pause, {"on": False}),
    ],
)
def test_wishes_are_understood(text, kind, values) -> None:
    found = parse(text)
    assert type(found) is kind and {name: getattr(found, name) for name in values} == values


@pytest.mark.parametrize(
    ("data", "what", "code"),
    [
        (b"", "nothing behind its header", 1007),
        (header(1, 0.0), "nothing behind its header", 1007),
        (header(3, 0.0) + JPEG, "1 for a picture", 1007),
        (header(1, 0.0, b"\1" * 7) + JPEG, "seven zeros", 1007),
        (header(1, math.nan) + JPEG, "time nan", 1007),
        (header(1, math.inf) + JPEG, "time inf", 1007),
        (header(2, -1e12) + bytes(4), "time -1", 1007),
        (header(1, 0.0) + b"GIF89a" + bytes(90), "no JPEG", 1007),
        (header(1, 0.0) + JPEG[:60], "no JPEG", 1007),
        (header(1, 0.0) + JPEG[:-40], "cut off", 1007),
        (header(1, 0.0) + JPEG[:-2] + b"\xff\xda" * 101 + b"\xff\xd9", "scans", 1007),
        (header(1, 0.0) + sized(4097, 8), "pixels a side, not 4097 x 8", 1009),
        (header(1, 0.0) + sized(65535, 65535), "pixels a side", 1009),
        (header(1, 0.0) + sized(8, 0), "pixels a side", 1009),
        (header(1, 0.0) + JPEG + bytes(2_000_000), "2000000 bytes", 1009),
        (header(2, 0.0) + bytes(64_002), "64000 bytes", 1009),
        (header(2, 0.0) + bytes(3), "two bytes", 1007),
        ("", "not understood", 1007),
        ("[1]", "not understood", 1007),
        ('{"type":"open"', "not understood", 1007),
        ('{"type":"close"}', "not understood", 1007),
        ('{"type":"open","model":3}', "model", 1007),
        ('{"type":"open","path":"/etc/passwd"}', "path", 1007),
        ('{"type":"pause","on":1}', "on", 1007),
        ('{"type":"event","time_s":NaN,"label":"x"}', "not understood", 1007),
        ('{"type":"event","time_s":1e400,"label":"x"}', "not understood", 1007),
        ('{"type":"event","time_s":1,"label":""}', "label", 1007),
        ('{"type":"event","time_s":1,"label":"' + "x" * 201 + '"}', "label", 1007),
        ('{"type":"event","time_s":1,"label":"\\ud800"}', "not understood", 1007),
        ('{"type":"name","person":-1,"name":"x"}', "person", 1007),
        ('{"type":"name","person":' + "9" * 3000 + ',"name":"x"}', "not understood", 1007),
        ("[" * 4000, "not understood", 1007),
        ("\ud800", "not understood", 1007),
        ('"' + "ü" * 2000 + '"', "4000 bytes", 1009),
    ],
)
def test_what_breaks_the_protocol_is_refused(data, what, code) -> None:
    with pytest.raises(MessageError, match=what) as caught:
        parse(data)
    assert caught.value.code == code


@given(st.binary(max_size=400) | st.text(max_size=200))
def test_anything_is_parsed_or_refused(data) -> None:
    for given_ in (data, header(1, 0.0) + data, b"\xff\xd8" + data) if isinstance(data, bytes) else (data,):
        try:
            parse(given_)
        except MessageError as error:
            assert error.code in (1007, 1009)


@given(st.integers(0, len(JPEG) - 1), st.integers(0, 255))
def test_a_damaged_picture_is_decoded_or_refused(at, byte) -> None:
    damaged = JPEG[:at] + bytes([byte]) + JPEG[at + 1 :]
    try:
        image = messages.decode(parse(header(1, 0.0) + damaged).jpeg)
    except MessageError:
        return
    assert image.dtype == np.uint8 and image.ndim == 3 and max(image.shape) <= messages.MAX_SIDE


def test_what_is_sent_is_finite_or_null() -> None:
    row = {
        "file": "live",
        "time_s": 1.0,
        "valence": float("nan"),
        "arousal": np.float32(0.5),
        "person": 2,
        "speech": 1.0,
    }
    message = json.loads(messages.frame_message(1.0, (32, 24), [row], 3.25))
    assert (message["type"], message["size"], message["work_ms"]) == ("frame", [32, 24], 3.25)
    found = message["rows"][0]
    assert found["valence"] is None and found["arousal"] == 0.5 and found["person"] == 2 and found["au_1"] is None
    assert not {"file", "speech", "voice_valence"} & set(found) and "au_45_intensity" in found


def test_a_score_of_the_voice_is_told() -> None:
    expression = np.eye(8, dtype=np.float32)[4]
    spoken = json.loads(messages.voice_message(VoiceScore(0.25, 0.9, -0.5, 0.125, expression)))
    assert spoken == {
        "type": "voice", "time_s": 0.25, "speech": 0.9, "valence": -0.5, "arousal": 0.125, "expression": "Happiness",
    }  # fmt: skip
    silent = json.loads(messages.voice_message(VoiceScore(0.5, 0.1, None, None, None)))
    assert silent["valence"] is silent["arousal"] is silent["expression"] is None
