"""Render the demo clip that ships with the package, and its true labels: a person looks, smiles, speaks, frowns, rests.

    python tools/render_demo.py src/sentio/assets/demo.mp4 --rig rig-ict --skins rig-mpfb --voices emodb

writes demo.mp4 and demo.csv; `--stills docs/demo.jpg` also some frames side by side. Nobody in it exists. The head is
ICT-FaceKit light (MIT, USC Institute for Creative Technologies), the skin begins from a picture of MPFB (CC0), the
voice is an utterance of EMO-DB (CC0, Burkhardt et al. 2005); docs/synth.md says where they are from. The acting is the
data below, and the labels are read off it. The same rig, skins, voice and versions of libraries give the same bytes.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from sentio.affect.labels import ALL_UNITS, EXPRESSIONS, SAMPLE_RATE
from sentio.affect.synth import acting, appearance, hair, rigs, skin, voice, wrinkles
from sentio.affect.synth.render import Camera, Lights, Mesh, render
from sentio.affect.synth.rig import CLOTH, HAIR
from sentio.core.progress import track
from sentio.core.writers import atomic_path

WIDTH, HEIGHT, FPS, SECONDS = 480, 360, 25, 10
FINER = 3
"""Frames are rendered so many times larger, and averaged."""
EXPOSURE = 0.95
"""Light in the picture for light that falls on the person."""
SCALE, EYES, DISTANCE = 9.6, 158, 110.0
"""Pixels a centimetre, pixels from the top to the eyes, centimetres to the camera."""
"""Action units that are labelled; AU45 is the blink."""


@dataclass(frozen=True)
class Act:
    """An expression that comes and goes.

    Attributes:
        times: seconds at which it begins, is whole, begins to go, is gone.
        valence, arousal: where it is whole; 0 and 0 at rest.
        units: weights of movements where it is whole.
    """

    expression: str
    times: tuple[float, float, float, float]
    valence: float
    arousal: float
    units: dict[str, float] = field(default_factory=dict)

    def share(self, time: float) -> float:
        """How much of it shows, 0 to 1."""
        begin, whole, end, gone = self.times
        return ramp(time, begin, whole) - ramp(time, end, gone)


UTTERANCE, SPEAKS = "13b10Nc", 2.9
""""Die wird auf dem Platz sein, wo wir sie immer hinlegen", neutral: all of 20 listeners heard it so. And when."""
ACTS = (
    Act("Happiness", (0.8, 1.35, 2.2, 2.85), 0.8, 0.45, {"AU12": 0.9, "AU6": 0.62, "AU25": 0.95, "AU10": 0.1}),
    Act("Neutral", (2.9, 3.1, 5.0, 5.3), 0.05, 0.1, {"AU1": 0.15, "AU2": 0.15}),
    Act("Anger", (5.45, 5.95, 6.7, 7.3), -0.65, 0.55, {"AU4": 1.25, "AU7": 0.65, "AU24": 0.8, "AU23": 0.45}),
)
BLINKS = (0.45, 2.7, 4.15, 5.4, 7.45, 9.65)
"""Moments at which the lids are shut."""
HEAD = (  # seconds; degrees to the person's left, down, to the right shoulder
    (0.0, 3, 1, 1), (0.8, 2, 0, 1), (1.5, 7, -2, 4), (2.3, 6, -1, 3), (3.1, -2, 2, -1), (3.7, 2, 0, 1),
    (4.4, -3, 3, -1), (5.2, 0, 1, 0), (6.0, -2, 6, -1), (6.7, -2, 5, -1), (7.3, 2, 1, 1),
    (7.75, 16, 2, -6), (8.2, 20, 0, -5), (8.5, -7, 1, 3), (9.5, -2, 1, 1), (10.0, 2, 0, 1),
)  # fmt: skip
GAZE = (  # seconds; degrees to the person's left, up
    (0.0, -2, 0), (0.75, -2, 0), (0.83, -6, 1), (1.6, -6, 1), (3.2, 2, 1), (3.3, 2, 1), (3.36, 9, 4), (3.8, 9, 4),
    (3.86, 2, 0), (5.4, 2, 0), (6.0, 2, 3), (7.3, -1, 1), (7.42, 14, 0), (8.1, 10, 0), (8.6, 2, 0), (9.2, 0, 0),
    (10.0, -2, 0),
)  # fmt: skip
STEPS = ((0.0, 240), (7.35, 240), (8.1, 760), (8.3, 760), (9.5, 240), (10.0, 240))
"""Seconds; pixels from the left to the middle of the head: the person leaves and comes back."""
STILLS = (0.3, 1.8, 3.84, 6.3)

LOOK = {"tone": 0.45, "hair": np.array((44, 31, 25), np.float32), "grey": 0.0, "male": False, "age": 0.2, "beard": 0.0,
        "brows": 0.6, "makeup": 0.15, "freckles": 0.0, "hairline": 6.4, "picture": 4, "seed": 17}  # fmt: skip
"""What replaces a drawn person's look, see skin.Look."""
CURLS = hair.Style(strands=5200, length=3.8, comb=(0.3, 0.25, 0.2), rise=0.45, weight=0.12, curl=0.6, spread=0.3)
HABIT = {"AU1": -0.15, "AU4": 0.25, "AU6": 0.1, "AU12": 0.17}
"""The face at rest; the brows of people lie lower than those of the rig."""
BUILD, UNLIKE = 17, 0.51
"""The random numbers of the head's shape, and their standard deviation."""
JERSEY = (58, 92, 120)
# height, half the width, middle and half the depth in cm, and how much lower it is in front
RINGS = ((-13.9, 6.3, -8.8, 6.2, 1.2), (-14.3, 7.4, -9.1, 6.8, 1.2), (-15.3, 10.0, -9.6, 7.6, 1.0),
         (-16.3, 13.5, -9.9, 7.8, 0.7), (-17.6, 17.0, -10.0, 8.0, 0.4), (-19.4, 19.8, -9.9, 8.4, 0.2),
         (-22.5, 21.4, -9.6, 9.2, 0.0), (-27.0, 22.0, -9.4, 10.4, 0.0), (-36.0, 21.0, -9.4, 11.0, 0.0))  # fmt: skip


def ramp(time: float, start: float, end: float) -> float:
    """Smooth step from 0 to 1."""
    part = float(np.clip((time - start) / (end - start), 0, 1))
    return part * part * (3 - 2 * part)


def course(keys: tuple[tuple[float, ...], ...], time: float) -> np.ndarray:
    """Values at a moment: smooth steps from key to key."""
    values = np.array(keys[0][1:], float)
    for before, after in pairwise(keys):
        values += (np.array(after[1:]) - before[1:]) * ramp(time, before[0], after[0])
    return values


class Speech:
    """The voice in the clip and the mouth that it moves."""

    def __init__(self, folder: Path) -> None:
        said = voice.read(next(path for path in sorted(folder.rglob("*")) if path.stem == UTTERANCE))
        self.sound = np.zeros(SECONDS * SAMPLE_RATE)
        self.sound[round(SPEAKS * SAMPLE_RATE) :][: len(said)] = said
        loud = voice.loudness(self.sound, FPS, SECONDS * FPS)
        self.loud = np.convolve(loud, [0.25, 0.5, 0.25], "same")  # (T,)

    def mouth(self, index: int) -> dict[str, float]:
        """Weights of jaw and lips in a frame: the opening follows loudness, the shape changes with the syllables."""
        loud, time = float(self.loud[index]), index / FPS
        round_, wide = np.sin(2 * np.pi * 2.3 * time), np.sin(2 * np.pi * 3.1 * time + 1)
        return {"AU26": loud * (0.42 + 0.1 * wide), "AU25": 0.45 * loud, "AU18": max(0.3 * loud * round_, 0.0)}


def shown(index: int, speech: Speech) -> dict[str, float]:
    """Weights of all movements in a frame."""
    time = index / FPS
    weights = speech.mouth(index)
    for act in ACTS:
        for unit, weight in act.units.items():
            weights[unit] = weights.get(unit, 0.0) + weight * act.share(time)
    shut = max(float(np.exp(-(((time - moment) / 0.07) ** 2))) for moment in BLINKS)
    return weights | {"blink": shut if shut > 0.02 else 0.0}


def labels(index: int, weights: dict[str, float]) -> dict[str, object]:
    """The row of a frame, in the names of the result table; nothing but frame and time while nobody is to be seen."""
    time = index / FPS
    row: dict[str, object] = {"frame": index, "time_s": f"{time:g}"}
    if not 0 <= place(time) < WIDTH:
        return row
    shares = [act.share(time) for act in ACTS]
    most = int(np.argmax(shares))
    row["valence"], row["arousal"] = (
        f"{sum(share * getattr(act, name) for share, act in zip(shares, ACTS, strict=True)):.3f}"
        for name in ("valence", "arousal")
    )
    row["expression"] = ACTS[most].expression if shares[most] >= acting.LEAST_INTENSITY else EXPRESSIONS[0]
    strength = {unit: weights.get(unit, 0.0) for unit in ALL_UNITS} | {"AU45": weights["blink"]}
    strength["AU25"] = max(strength["AU25"], strength["AU26"])  # an open jaw parts the lips
    for unit, weight in strength.items():
        row[column(unit)] = int(weight >= acting.VISIBLE)
        row[f"{column(unit)}_intensity"] = f"{min(weight, 1.0):.3f}"
    return row


def column(unit: str) -> str:
    """The name of an action unit's column."""
    return f"au_{unit.removeprefix('AU')}"


def place(time: float) -> float:
    """Pixels from the left to the middle of the head."""
    return float(course(STEPS, time)[0] + 3 * np.sin(1.1 * time))


def person(folder: Path, skins: Path) -> appearance.Person:
    """The one who acts."""
    rng = np.random.default_rng(BUILD)
    rig = rigs.load(folder)
    head = rig.shape(UNLIKE * rng.standard_normal(len(rig.identity)).astype(np.float32))
    look = replace(skin.draw(np.random.default_rng(1), 0), **LOOK)
    points, triangles, uv = hair.grow(rig, head, CURLS, look.hairline, np.random.default_rng(0))
    plain = [skin.plain((224, 217, 203), rng), skin.plain((140, 62, 60), rng, 0.1)]  # teeth, mouth
    jersey, metal = skin.plain(JERSEY, rng, 0.05), skin.plain((30, 30, 30), rng)
    skins_of_all = skin.photographed(skins)
    textures = [skin.paint(look, skins_of_all), skin.eye(rng, look.tone), *plain, skin.lashes(rng), jersey,
                hair.texture(look.hair, rng), metal]  # fmt: skip
    return appearance.Person(
        rig=rig,
        head=head,
        textures=np.stack(textures),
        worn=(points, triangles, uv, np.full(len(triangles), HAIR, np.uint8)),
        rest=np.full(len(wrinkles.WRINKLES), 0.3, np.float32),
        habit=HABIT,
        look=look,
        depth=1.2,
    )


def jersey() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shoulders and a collar, which stay when the head turns: points (N, 3), triangles (M, 3), uv (N, 2)."""
    fine = np.linspace(0, len(RINGS) - 1, 41)
    rings = np.stack([np.interp(fine, np.arange(len(RINGS)), values) for values in np.array(RINGS).T], 1)
    rings[1:-1] = (rings[:-2] + 2 * rings[1:-1] + rings[2:]) / 4
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False) + np.pi  # the seam is behind
    side, front = np.sin(angle), np.cos(angle)
    y, wide, middle, deep, lower = rings.T[:, :, None]
    bent = 2 / 2.3  # of a superellipse
    body = np.stack([wide * np.sign(side) * np.abs(side) ** bent, y - lower * front,
                     middle + deep * np.sign(front) * np.abs(front) ** bent], 2)  # fmt: skip
    round_ = np.linspace(2 * np.pi, 0, 13)[:, None, None]
    out = np.stack([side, 0 * side, front], 1)
    collar = body[0] + 0.5 * (np.cos(round_) * out + np.array([0, 1.6, 0]) * np.sin(round_))
    centre = body[0].mean(0)
    lid = np.stack([centre + 0.6 * (body[0] - centre), body[0]])  # nobody sees through a collar past the neck
    points, triangles, uv, count = [], [], [], 0
    for sheet in (body, collar, lid):
        rows, columns = sheet.shape[:2]
        i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
        a, b = count + i * columns + j, count + i * columns + (j + 1) % columns
        triangles.append(np.stack([a, a + columns, b, b, a + columns, b + columns], -1).reshape(-1, 3))
        uv.append(np.stack(np.meshgrid(np.linspace(0, 1, columns), np.linspace(0.9, 0.1, rows)), 2).reshape(-1, 2))
        points.append(sheet.reshape(-1, 3))
        count += rows * columns
    return tuple(np.concatenate(parts) for parts in (points, triangles, uv))


def room() -> np.ndarray:
    """A window, a plant and books, far out of focus, (480, 640, 3)."""
    y, x = np.mgrid[:480, :640].astype(np.float32)
    wall = np.array([206, 200, 190], np.float32) * (1.05 - 0.25 * x / 640 - 0.1 * y / 480)[..., None]
    for box, colour in (((30, -10, 190, 300), (238, 242, 246)), ((30, 140, 190, 150), (205, 203, 200)),
                        ((106, -10, 114, 300), (205, 203, 200))):  # fmt: skip
        cv2.rectangle(wall, box[:2], box[2:], colour, -1)
    rng = np.random.default_rng(4)
    covers = ((150, 70, 60), (66, 96, 110), (190, 160, 110), (80, 110, 84), (216, 206, 190), (96, 74, 92))
    for board in (124, 234, 344, 454):
        cv2.rectangle(wall, (470, board), (660, board + 8), (120, 86, 58), -1)
        left = 478
        while left < 640:
            thick, high = int(rng.integers(9, 20)), int(rng.integers(52, 80))
            cv2.rectangle(wall, (left, board - high), (left + thick, board), covers[rng.integers(6)], -1)
            left += thick + 2
    for _ in range(26):
        at = (int(150 + rng.normal(0, 34)), int(330 + rng.normal(0, 40)))
        leaf = (int(rng.uniform(10, 24)), 7), float(rng.uniform(0, 180))
        cv2.ellipse(wall, at, *leaf, 0, 360, (70, 118 + float(rng.normal(0, 14)), 74), -1)
    return np.clip(cv2.GaussianBlur(wall, (0, 0), 11), 0, 255).astype(np.uint8)


def lights() -> Lights:
    """A window before the person on the left, some light from the right, a rim."""
    directions = np.array([(-0.55, 0.45, 0.8), (0.8, 0.15, 0.7), (0.6, 0.5, -0.6)], np.float32)
    colours = np.array([(0.72, 0.69, 0.65), (0.2, 0.21, 0.23), (0.3, 0.3, 0.3)], np.float32)
    above, below = np.array([(0.36, 0.36, 0.37), (0.26, 0.24, 0.22)], np.float32)
    return Lights(directions / np.linalg.norm(directions, axis=1, keepdims=True), colours, above, below)


def developed(light: np.ndarray) -> np.ndarray:
    """Linear light to sRGB, 8 bits; what is bright is held back rather than clipped."""
    held = np.where(light < 0.6, light, 1 - 0.4 * np.exp((0.6 - light) / 0.4))
    return np.round(255 * held.clip(0, 1) ** (1 / 2.2)).astype(np.uint8)


class Film:
    """The pictures of the clip."""

    def __init__(self, actor: appearance.Person, speech: Speech) -> None:
        self.actor, self.speech, self.jersey, self.lights = actor, speech, jersey(), lights()
        self.behind = cv2.resize((room() / 255.0) ** 2.2, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)

    def pose(self, index: int) -> tuple[Mesh, np.ndarray, Camera]:
        """What is to be rendered, 68 landmarks in the same frame, and the camera of a picture of HEIGHT and WIDTH."""
        time = index / FPS
        yaw, pitch, roll = np.radians(course(HEAD, time) + np.sin(np.array([1.3, 2.1, 0.9]) * time) * (0.8, 0.5, 0.5))
        left, up = np.radians(course(GAZE, time))
        mesh, points = self.actor.mesh(shown(index, self.speech), (left, up), appearance.rotation(yaw, pitch, roll))
        return self.dressed(mesh), points, Camera(DISTANCE, np.array([[SCALE, 0, place(time)], [0, SCALE, EYES]]))

    def frame(self, index: int) -> np.ndarray:
        """RGB (HEIGHT, WIDTH, 3)."""
        mesh, _, camera = self.pose(index)
        finer, size = camera.matrix * FINER, (HEIGHT * FINER, WIDTH * FINER)
        finer[:, 2] += (FINER - 1) / 2
        surfaces, camera = appearance.SURFACES, Camera(DISTANCE, finer)
        light, cover = render(mesh, self.actor.textures, surfaces, self.lights, camera, size)
        light, cover = (cv2.resize(x, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for x in (light, cover))
        return developed(EXPOSURE * light + (1 - cover[..., None]) * self.behind)

    def dressed(self, mesh: Mesh) -> Mesh:
        """The person in the jersey rather than in what the rig wears."""
        points, triangles, uv = self.jersey
        kept = mesh.layer != CLOTH
        return Mesh(
            np.concatenate([mesh.vertices, points.astype(np.float32)]),
            np.concatenate([mesh.triangles[kept], (triangles + len(mesh.vertices)).astype(np.int32)]),
            np.concatenate([mesh.uv, uv.astype(np.float32)]),
            np.concatenate([mesh.layer[kept], np.full(len(triangles), CLOTH, np.uint8)]),
            mesh.crease,
        )


def write_clip(path: Path, frames: Iterator[np.ndarray], sound: np.ndarray) -> None:
    """H.264 and AAC."""
    with atomic_path(path) as temporary, av.open(str(temporary), "w", options={"movflags": "+faststart"}) as output:
        video = output.add_stream("libx264", rate=FPS, options={"crf": "22", "preset": "slow", "threads": "1"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for index, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, FPS)
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        for begin in range(0, len(sound), 1024):
            block = av.AudioFrame.from_ndarray(sound[None, begin : begin + 1024].astype(np.float32), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, begin, Fraction(1, SAMPLE_RATE)
            output.mux(audio.encode(block))
        output.mux(audio.encode(None))


def write_labels(path: Path, speech: Speech) -> None:
    """A line for each frame; empty where there is nothing to label."""
    rows = [labels(index, shown(index, speech)) for index in range(SECONDS * FPS)]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Render the clip that is named, and what belongs to it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the clip; the labels go beside it")
    parser.add_argument("--rig", type=Path, required=True, help="folder of ICT-FaceKit, see docs/synth.md")
    parser.add_argument("--skins", type=Path, required=True, help="folder of MPFB with skins")
    parser.add_argument("--voices", type=Path, required=True, help="folder of EMO-DB")
    parser.add_argument("--stills", type=Path, help="a JPEG of some frames side by side")
    options = parser.parse_args()
    speech = Speech(options.voices)
    film = Film(person(options.rig, options.skins), speech)
    if options.stills:
        row = np.hstack([film.frame(round(time * FPS))[:, 80:400] for time in STILLS])
        row = cv2.resize(row, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
        with atomic_path(options.stills) as temporary:
            cv2.imwrite(str(temporary), row[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    frames = (film.frame(index) for index in track(range(SECONDS * FPS), "rendering"))
    write_clip(options.out, frames, speech.sound)
    write_labels(options.out.with_suffix(".csv"), speech)


if __name__ == "__main__":
    main()
