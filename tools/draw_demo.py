"""Draw the demo clip that ships with the package: a face that moves, speaks, smiles, wonders, leaves and returns.

    python tools/draw_demo.py src/sentio/assets/demo.mp4

Everything is drawn and sounded here; the same versions of the libraries give the same bytes.
"""

import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from scipy.signal import lfilter

WIDTH, HEIGHT, RATE, SECONDS = 480, 360, 25, 8
SOUND_RATE = 48_000
CANVAS = 640
"""Side of the square on which the person is drawn, larger than in the clip, so that edges come out smooth."""

ZOOM = 0.64
"""From the canvas to the clip."""

SKIN, SHADE, LIGHT = (226, 178, 150), (150, 96, 78), (252, 220, 196)
LIP, MOUTH, TEETH = (186, 88, 88), (70, 20, 24), (240, 236, 228)
HAIR, SHIRT, WALL = (62, 40, 30), (44, 92, 112), (198, 206, 204)


@dataclass(frozen=True)
class Pose:
    """One frame: where the head is (pixels, degrees) and what the face does (0 to 1)."""

    x: float
    y: float
    tilt: float
    turn: float
    smile: float
    brow: float
    open: float
    blink: float


class Canvas:
    """An RGB picture with a coverage mask, painted with soft shapes."""

    def __init__(self) -> None:
        self.colour = np.zeros((CANVAS, CANVAS, 3), np.float32)
        self.cover = np.zeros((CANVAS, CANVAS), np.float32)

    def shape(self, points: np.ndarray, soft: float = 0.8) -> np.ndarray:
        """Mask of a polygon, its edge blurred by `soft` pixels."""
        mask = np.zeros((CANVAS, CANVAS), np.uint8)
        cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), soft)

    def paint(self, mask: np.ndarray, colour: tuple[int, int, int], strength: float = 1.0, within=None) -> None:
        """Lay a colour over the picture; `within` keeps it inside another mask and the coverage as it is."""
        weight = mask * strength * (1 if within is None else within)
        self.colour += weight[..., None] * (np.array(colour, np.float32) - self.colour)  # multiplied by the coverage
        if within is None:
            self.cover += weight * (1 - self.cover)


def oval(x: float, y: float, rx: float, ry: float, power: float = 2.0) -> np.ndarray:
    """Points of a superellipse."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    shape = np.sign([cos, sin]) * np.abs([cos, sin]) ** (2 / power)
    return np.stack([x + rx * shape[0], y + ry * shape[1]], axis=1)


def band(x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Polygon between two curves over the same x."""
    return np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])


def draw_person(pose: Pose) -> Canvas:
    """Head and shoulders; the face's centre lies at the middle of the canvas."""
    canvas, aside = Canvas(), shift(pose)
    draw_body(canvas)
    head = draw_head(canvas, aside)
    for side in (-1, 1):
        draw_eye(canvas, side, aside, pose, head)
    draw_nose(canvas, aside, head)
    draw_mouth(canvas, aside, pose, head)
    draw_fringe(canvas, aside)
    return canvas


def shift(pose: Pose) -> float:
    """How far a turn of the head moves the features sideways, in pixels of the canvas."""
    return 16 * pose.turn


def placing(pose: Pose) -> np.ndarray:
    """Transform from the canvas to the clip, (2, 3)."""
    matrix = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), -pose.tilt, ZOOM)
    matrix[:, 2] += (pose.x - CANVAS / 2, pose.y - CANVAS / 2)
    return matrix


def draw_body(canvas: Canvas) -> None:
    """Hair behind, shirt and neck."""
    canvas.paint(canvas.shape(oval(320, 250, 138, 160, 2.3), 2), HAIR)
    canvas.paint(canvas.shape(oval(320, 690, 250, 190, 2.6), 2), SHIRT)
    neck = canvas.shape(oval(320, 470, 62, 100, 3), 2)
    canvas.paint(neck, SKIN)
    canvas.paint(canvas.shape(oval(320, 440, 80, 50), 14), SHADE, 0.75, neck)


def draw_head(canvas: Canvas, shift: float) -> np.ndarray:
    """Ears and the head's shading; returns the head's mask."""
    for side in (-1, 1):
        ear = canvas.shape(oval(320 + side * 126 - 0.4 * shift, 320, 18, 34), 1.5)
        canvas.paint(ear, SKIN)
        canvas.paint(canvas.shape(oval(320 + side * 128 - 0.4 * shift, 322, 9, 20), 4), SHADE, 0.5, ear)
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    width = 124 - 26 * np.clip(np.sin(angle), 0, 1) ** 2
    outline = np.stack([320 + width * np.cos(angle), 316 + 158 * np.sin(angle)], axis=1)
    head = canvas.shape(outline, 1.2)
    canvas.paint(head, SKIN)
    edge = 1 - cv2.GaussianBlur(canvas.shape(oval(308 + 0.5 * shift, 308, 100, 140), 1), (0, 0), 22)
    canvas.paint(edge, SHADE, 0.62, head)
    canvas.paint(canvas.shape(oval(312 + shift, 222, 62, 34), 20), LIGHT, 0.7, head)
    for side in (-1, 1):
        canvas.paint(canvas.shape(oval(320 + side * 62 + shift, 344, 28, 20), 14), LIGHT, 0.6, head)
        canvas.paint(canvas.shape(oval(320 + side * 66 + shift, 368, 26, 18), 16), (224, 130, 116), 0.35, head)
    canvas.paint(canvas.shape(oval(320 + shift, 452, 32, 14), 9), LIGHT, 0.4, head)
    canvas.paint(canvas.shape(oval(320 + shift, 424, 40, 6), 6), SHADE, 0.45, head)
    return head


def draw_eye(canvas: Canvas, side: int, shift: float, pose: Pose, head: np.ndarray) -> None:
    """Eye, lids and brow of one side (-1 left in the picture, 1 right)."""
    x, y = 320 + side * 50 + shift, 292
    canvas.paint(canvas.shape(oval(x - side * 4, y - 8, 40, 24), 9), SHADE, 0.62, head)
    across = np.linspace(-1, 1, 41)
    arch = 1 - across**2
    gap = (1 - pose.blink) * (1 - 0.3 * pose.smile + 0.3 * max(pose.brow, 0))
    corner = y + 2 - 2 * across * side
    corner = corner + 5 * pose.blink * arch
    upper, lower = corner - 13.5 * gap * arch**0.8, corner + (8 - 2 * pose.smile) * gap * arch + 1
    eye = canvas.shape(band(x + 25 * across, upper, lower))
    canvas.paint(eye, (244, 240, 236), 1, head)
    look = x + 2.5 * pose.turn
    canvas.paint(canvas.shape(oval(look, y - 1, 11.5, 11.5)), (70, 92, 74), 1, eye)
    canvas.paint(canvas.shape(oval(look, y - 1, 5.5, 5.5)), (16, 14, 14), 1, eye)
    canvas.paint(canvas.shape(oval(look - 4, y - 5, 2.6, 2.6), 0.6), (255, 255, 255), 1, eye)
    canvas.paint(canvas.shape(band(x + 27 * across, upper - 4, upper + 3), 1.2), (40, 26, 22), 0.95, head)
    canvas.paint(canvas.shape(band(x + 25 * across, lower - 0.5, lower + 2), 1.2), SHADE, 0.6, head)
    canvas.paint(canvas.shape(band(x + 27 * across, upper - 11, upper - 8), 2), SHADE, 0.6, head)
    canvas.paint(canvas.shape(band(x + 22 * across, lower + 9, lower + 12 + 2 * pose.smile), 3), SHADE, 0.35, head)
    out = across * side
    lift = 14 * pose.brow * (1 - 0.25 * out)
    hair = y - 35 - lift - 5 * (1 - (out - 0.2) ** 2)
    thick = 4.2 * (1.1 - 0.75 * np.clip(out, 0, 1)) + 1.2
    canvas.paint(canvas.shape(band(x + side * 3 + 33 * across, hair - thick, hair + thick), 1.8), HAIR, 0.92, head)


def draw_nose(canvas: Canvas, shift: float, head: np.ndarray) -> None:
    """Bridge, tip and nostrils."""
    tip = 320 + 1.7 * shift
    ridges = (
        ((312, 323), 282, (-6, 8), 348, LIGHT, 0.75),
        ((328, 336), 282, (23, 10), 354, SHADE, 0.55),
        ((304, 310), 281, (-12, -21), 353, SHADE, 0.3),
    )
    for (left, right), above, (a, b), below, colour, strength in ridges:
        corners = [(left + shift, above), (right + shift, above), (tip + max(a, b), below), (tip + min(a, b), below)]
        canvas.paint(canvas.shape(np.array(corners), 5.5), colour, strength, head)
    canvas.paint(canvas.shape(oval(tip - 2, 350, 10, 8), 4), LIGHT, 0.8, head)
    canvas.paint(canvas.shape(oval(tip, 371, 24, 5), 4), SHADE, 0.6, head)
    for side in (-1, 1):
        canvas.paint(canvas.shape(oval(tip + side * 11, 364, 6, 3.2), 1.6), (84, 40, 34), 0.85, head)
        canvas.paint(canvas.shape(oval(tip + side * 21, 358, 4, 8), 3), SHADE, 0.4, head)


def draw_mouth(canvas: Canvas, shift: float, pose: Pose, head: np.ndarray) -> None:
    """Lips, teeth and the folds beside them."""
    x, y = 320 + 1.2 * shift, 402
    across = np.linspace(-1, 1, 61)
    arch = 1 - across**2
    half = 37 + 13 * pose.smile - 8 * pose.open * (1 - pose.smile)
    line = y - 13 * pose.smile * across**2 + 4 * pose.smile
    parted = (9 * pose.smile**2 + 20 * pose.open) * arch**0.7
    top, bottom = line - 0.3 * parted, line + 0.7 * parted
    bow = 9 * arch**0.8 * (1 - 0.25 * np.exp(-((across / 0.16) ** 2))) - 1.5 * pose.smile * arch
    canvas.paint(canvas.shape(band(x + half * across, top - bow, top + 1)), LIP, 0.9, head)
    canvas.paint(canvas.shape(band(x + half * across, bottom - 1, bottom + 11 * arch**0.8)), (204, 108, 104), 0.9, head)
    canvas.paint(canvas.shape(band(x + 0.4 * half * across, bottom + 4, bottom + 7), 2), (236, 160, 152), 0.7, head)
    inside = canvas.shape(band(x + 0.96 * half * across, top - 1.2, bottom + 1.2))
    canvas.paint(inside, MOUTH, 0.95, head)
    teeth = canvas.shape(band(x + 0.8 * half * across, top - 2, top + 6.5 * arch), 0.8)
    canvas.paint(teeth, TEETH, min(1, 0.2 * parted.max()), inside)
    for side in (-1, 1):
        canvas.paint(canvas.shape(oval(x + side * (half + 2), line[0], 5, 4), 2.5), SHADE, 0.75, head)
        fold = np.linspace(0, 1, 20)
        down, out = 360 + (line[0] - 354) * fold, x + side * (28 + (half - 12) * fold**1.2)
        crease = canvas.shape(band(down, out - 1.5, out + 1.5)[:, ::-1], 2.5)
        canvas.paint(crease, SHADE, 0.2 + 0.45 * pose.smile, head)


def draw_fringe(canvas: Canvas, shift: float) -> None:
    """Hair over the forehead, with a gleam."""
    across = np.linspace(-1, 1, 61)
    top = 250 - 108 * np.sqrt(np.clip(1 - across**2, 0, 1))
    bottom = 262 - 66 * (1 - np.abs(across - 0.25) ** 2.2).clip(0, 1) + 12 * across**2
    hair = canvas.shape(band(320 + 132 * across + 0.3 * shift, top - 6, np.maximum(bottom, top)), 2)
    canvas.paint(hair, HAIR)
    canvas.paint(canvas.shape(oval(278 + 0.3 * shift, 184, 54, 20), 16), (122, 86, 64), 0.75, hair)


def backdrop() -> np.ndarray:
    """A wall with light from the left and a window's soft edge."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    light = 1.06 - 0.22 * x / WIDTH - 0.12 * y / HEIGHT
    wall = np.array(WALL, np.float32) * light[..., None]
    wall[:, 36:112] = cv2.GaussianBlur(wall, (0, 0), 3)[:, 36:112] * 1.07
    return cv2.GaussianBlur(wall, (0, 0), 2.5)


def ramp(time: float, start: float, end: float) -> float:
    """Smooth step from 0 to 1."""
    part = float(np.clip((time - start) / (end - start), 0, 1))
    return part * part * (3 - 2 * part)


def pulse(time: float, start: float, end: float, edge: float = 0.35) -> float:
    """Up over `edge` seconds from `start`, down again to `end`."""
    return ramp(time, start, start + edge) - ramp(time, end - edge, end)


def speaking(time: np.ndarray) -> np.ndarray:
    """Loudness of the voice, 0 to 1: syllables in two phrases."""
    phrases = ((time > 0.4) & (time < 1.7)) | ((time > 7.0) & (time < 7.9))
    return phrases * np.clip(np.sin(2 * np.pi * 3.1 * time), 0, 1) ** 0.7


def act(time: float) -> Pose:
    """The performance: speak, smile, leave to the right, return, wonder, speak."""
    away = ramp(time, 3.5, 4.5) - ramp(time, 5.0, 6.0)
    surprise = pulse(time, 6.0, 7.0)
    blinks = sum(np.exp(-(((time - moment) / 0.06) ** 2)) for moment in (1.75, 3.3, 7.1))
    return Pose(
        x=228 + 14 * np.sin(0.9 * time) + 480 * away,
        y=176 + 4 * np.sin(1.7 * time),
        tilt=3 * np.sin(1.1 * time + 0.5) + 3 * away,
        turn=0.5 * np.sin(0.8 * time),
        smile=pulse(time, 1.8, 3.6, 0.5),
        brow=surprise - 0.15 * pulse(time, 0.4, 1.8),
        open=max(0.55 * float(speaking(np.array(time))), 0.75 * surprise),
        blink=min(1.0, float(blinks)),
    )


def frame(pose: Pose, wall: np.ndarray) -> np.ndarray:
    """The picture, uint8 (HEIGHT, WIDTH, 3)."""
    person = draw_person(pose)
    layers = np.dstack([person.colour, person.cover])
    layers = cv2.warpAffine(cv2.GaussianBlur(layers, (0, 0), 0.8), placing(pose), (WIDTH, HEIGHT))
    picture = wall * (1 - layers[..., 3:]) + layers[..., :3]
    grain = np.random.default_rng(7).normal(0, 1.2, picture.shape)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def voice() -> np.ndarray:
    """Pulses with vibrato through three resonances, (1, samples) float32: vowel-like, no word."""
    time = np.arange(SECONDS * SOUND_RATE) / SOUND_RATE
    pitch = 135 + 8 * np.sin(2 * np.pi * 0.7 * time) + 2 * np.sin(2 * np.pi * 5.5 * time)
    phase = np.cumsum(pitch) / SOUND_RATE
    sound = np.diff(np.floor(phase), prepend=0) * speaking(time)
    for hertz, width in ((640, 90), (1190, 110), (2500, 160)):
        radius = np.exp(-np.pi * width / SOUND_RATE)
        sound = lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * hertz / SOUND_RATE), radius**2], sound)
    return (0.25 * sound / np.abs(sound).max())[None].astype(np.float32)


def write(path: Path) -> None:
    """Encode the clip: H.264 and AAC."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as output:
        video = output.add_stream("libx264", rate=RATE, options={"crf": "21", "preset": "slow", "threads": "1"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = output.add_stream("aac", rate=SOUND_RATE, layout="mono")
        wall = backdrop()
        for index in range(SECONDS * RATE):
            picture = av.VideoFrame.from_ndarray(frame(act(index / RATE), wall), format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, RATE)
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        sound = voice()
        for begin in range(0, sound.shape[1], 1024):
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[:, begin : begin + 1024]), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = SOUND_RATE, begin, Fraction(1, SOUND_RATE)
            output.mux(audio.encode(block))
        output.mux(audio.encode(None))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
