"""Render the clips and portraits that the tests look at: people who talk, smile, turn, leave, pass each other.

    python tools/render_clips.py tests/clips --rigs rig-ict rig-mpfb --voices emodb

Nobody in them exists. The same rigs, voices and versions of the libraries give the same pictures.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from sentio.affect.labels import SAMPLE_RATE
from sentio.affect.synth import acting, appearance, layout, rigs, scene, voice
from sentio.affect.synth.render import Camera
from sentio.core.progress import track
from sentio.core.writers import write_text

FPS = 25
SIZE = (240, 320)
PORTRAIT = (320, 320)
BIT_RATE = 300_000
DISTANCE = 90.0
"""From the camera to a head, cm."""
CAST = {"ann": (0, 11), "ben": (1, 12), "cem": (0, 18), "dan": (1, 23), "eve": (0, 15), "fay": (1, 26)}
"""Name -> which rig, which random numbers."""
PORTRAITS = 8


@dataclass(frozen=True)
class Part:
    """What one person does in a shot: a performance, and where it is (T, 2), in pixels between the eyes."""

    person: appearance.Person
    shown: acting.Performance
    course: np.ndarray
    scale: float = 6.4  # pixels a centimetre


class Studio:
    """Where clips are made: a cast, voices and a wall."""

    def __init__(self, folders: list[Path], voices: Path) -> None:
        skins = next((folder for folder in folders if (folder / "skins").is_dir()), None)
        self.voices = voice.utterances(voices, voice.speakers(voices)[:1])
        self.cast = {
            name: appearance.draw(rigs.load(folders[rig % len(folders)]), np.random.default_rng(seed), skins)
            for name, (rig, seed) in CAST.items()
        }

    def part(self, name: str, acts: list[str], course: np.ndarray, energy: np.ndarray | None = None, **about) -> Part:
        """Somebody who shows ``acts`` one after the other along ``course``, and speaks as loud as ``energy``."""
        T = len(course)
        energy = np.zeros(T) if energy is None else energy
        shown = acting.perform(acts, T / FPS, FPS, energy, np.random.default_rng(CAST[name][1]))
        calm = shown.turns * 0.5  # (T, 3)
        return Part(self.cast[name], replace(shown, turns=calm), course, **about)

    def film(self, parts: list[Part], seed: int, size: tuple[int, int] = SIZE) -> Iterator[np.ndarray]:
        """RGB frames (H, W, 3) of one shot; the last part stands in front."""
        rng = np.random.default_rng(seed)
        place = replace(scene.draw(rng), blur=0.0, grain=0.0, contrast=1.0, warmth=0.0, exposure=0.6)
        wall = cv2.resize(place.backdrop, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
        for index in range(len(parts[0].course)):
            picture = wall
            for part in parts:
                colour, cover = cut_out(part, index, place, size)[:2]
                picture = colour * cover[..., None] + picture * (1 - cover[..., None])
            yield scene.finish(picture, place, rng)


def cut_out(part: Part, index: int, place: scene.Scene, size: tuple[int, int]):
    """A person alone at a frame, as `scene.cut_out` gives it, and the 68 landmarks."""
    face, turn = part.shown.faces[index], part.shown.turns[index]
    mesh, landmarks = part.person.mesh(face.weights, face.gaze, appearance.rotation(*turn))
    x, y = part.course[index]
    camera = Camera(DISTANCE, np.array([[part.scale, 0, x], [0, part.scale, y]]))
    return *scene.cut_out(part.person, mesh, place, camera, size), camera.project(landmarks)


def stay(x: float, y: float, seconds: float) -> np.ndarray:
    """(T, 2) a place, swaying a little."""
    time = np.arange(round(seconds * FPS)) / FPS
    return np.stack([x + 5 * np.sin(1.3 * time), y + 2 * np.sin(2.1 * time)], axis=1)


def talking(studio: Studio) -> tuple[Iterator[np.ndarray], np.ndarray]:
    """Somebody says a sentence and smiles."""
    sentence = studio.voices["Happiness"][0]
    sound = np.zeros(3 * SAMPLE_RATE)
    spoken = voice.read(sentence)[: len(sound) - SAMPLE_RATE // 2]
    sound[SAMPLE_RATE // 2 :][: len(spoken)] = spoken
    energy = voice.loudness(sound, FPS, 3 * FPS)
    return studio.film([studio.part("ann", ["Happiness"], stay(160, 100, 3), energy)], 1), sound


def pair(studio: Studio) -> Iterator[np.ndarray]:
    """Two people side by side."""
    left = studio.part("ben", ["Neutral", "Happiness"], stay(82, 95, 2), scale=5.2)
    return studio.film([left, studio.part("eve", ["Surprise"], stay(240, 105, 2), scale=5.2)], 2)


def returning(studio: Studio) -> Iterator[np.ndarray]:
    """Somebody leaves to the right, stays away for a second, and comes back."""
    course = stay(150, 100, 4)
    away = np.interp(np.arange(100), [30, 42, 66, 78], [0, 1, 1, 0])
    course[:, 0] += 330 * away
    return studio.film([studio.part("cem", ["Neutral"], course)], 3)


def turning(studio: Studio) -> Iterator[np.ndarray]:
    """A head turns to its left, to its right, and back."""
    part = studio.part("dan", ["Neutral"], stay(160, 100, 3))
    turns = part.shown.turns.copy()
    turns[:, 0] = 0.75 * np.sin(np.linspace(0, 2 * np.pi, len(turns)))
    return studio.film([replace(part, shown=replace(part.shown, turns=turns))], 4)


def crossing(studio: Studio) -> Iterator[np.ndarray]:
    """One passes in front of another."""
    x = np.linspace(60, 260, 60)
    behind = studio.part("fay", ["Neutral"], np.stack([320 - x, np.full(60, 92.0)], axis=1), scale=4.2)
    return studio.film([behind, studio.part("ben", ["Neutral"], np.stack([x, np.full(60, 108.0)], 1), scale=5.2)], 5)


def cuts(studio: Studio) -> Iterator[np.ndarray]:
    """Four people in eight shots of six frames; everybody comes twice, before a wall of their own."""
    for shot, name in enumerate(["ann", "ben", "ann", "cem", "dan", "ben", "dan", "cem"]):
        course = stay(120 + 26 * (shot % 4), 100, 0.24)
        yield from studio.film([studio.part(name, ["Neutral"], course)], CAST[name][1])


def empty(studio: Studio) -> Iterator[np.ndarray]:
    """A walk along a wall: nobody is there."""
    wall = cv2.resize(scene.backdrop(np.random.default_rng(6)), (480, 360), interpolation=cv2.INTER_AREA)
    for index in range(50):
        yield np.ascontiguousarray(wall[60 : 60 + SIZE[0], 3 * index : 3 * index + SIZE[1]])


def portraits(studio: Studio, out: Path) -> None:
    """Faces of the cast, neutral and smiling, and where their eyes, noses and mouths are: portraits.json."""
    known = {}
    for index in range(PORTRAITS):
        name = sorted(CAST)[index % len(CAST)]
        part = studio.part(name, ["Happiness" if index % 2 else "Neutral"], stay(160, 145, 0.6), scale=9.0)
        landmarks = cut_out(part, 14, scene.draw(np.random.default_rng(20 + index)), PORTRAIT)[2]
        *_, picture = studio.film([part], 20 + index, PORTRAIT)
        (out / f"portrait{index}.jpg").write_bytes(scene.compress(picture, 88))
        known[f"portrait{index}.jpg"] = np.round(appearance.five(landmarks), 1).tolist()
    write_text(out / "portraits.json", json.dumps(known, indent=1) + "\n")


def main() -> None:
    """Render everything into the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rigs", type=Path, nargs="+", required=True, help="folders of rigs, see docs/synth.md")
    parser.add_argument("--voices", type=Path, required=True, help="folder of EMO-DB")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    studio = Studio(options.rigs, options.voices)
    for scenario in track([talking, pair, returning, turning, crossing, cuts, empty], "rendering"):
        made = scenario(studio)
        frames, sound = made if isinstance(made, tuple) else (made, None)
        bgr = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
        sound = np.zeros(len(bgr) * SAMPLE_RATE // FPS) if sound is None else sound
        layout.write_media(options.out / f"{scenario.__name__}.mp4", bgr, sound.astype(np.float32), FPS, BIT_RATE)
    portraits(studio, options.out)


if __name__ == "__main__":
    main()
