"""What a face detector is trained on: rendered heads cut out of their background, and pictures without faces.

``python -m sentio.affect.synth.heads OUT --rigs RIG... --pictures FOLDER...`` writes

- ``heads/00012_03.png``: head 3 of person 12, RGBA; ``heads.jsonl`` has its 68 landmarks and turn. A seventh of the
  heads are seen from behind, which is no face;
- ``bodies/00012_1.png``: a hand or another part of a body without a head, if a rig is MPFB's; listed in
  ``bodies.jsonl``;
- ``pictures/*.jpg``: the pictures of the given folders, made small. If YuNet has been fetched, those in which it finds
  a face are left out; look through the others.

Heads are put into pictures while the detector is trained (`sentio.affect.synth.composites`). What is there is not made
again, so a stopped run goes on.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sentio.affect.labels import EXPRESSIONS
from sentio.affect.synth import acting, appearance, bodies, rigs, scene
from sentio.affect.synth.render import Camera
from sentio.core import weights
from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.core.progress import track
from sentio.core.writers import atomic_path, write_json, write_text

HEADS = 14
"""Of one person; the last `BEHIND` of them from behind."""
BEHIND = 2
BODIES = ("hand", "hand", "torso", "arm", "leg", "foot")
"""Parts of bodies that are drawn from, `BODIES_EACH` for a person."""
BODIES_EACH = 2
SIZE, SCALE = 320, 9.3
"""Pixels of a cut-out and of a centimetre in it: a face is about 165 pixels high."""
PICTURE_SIDE = 640
SUSPICIOUS = 0.5
"""Pictures in which YuNet finds a face of this score are left out."""
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Task:
    """One person's heads."""

    out: Path
    rigs: tuple[Path, ...]
    index: int
    seed: int

    @property
    def record(self) -> Path:
        """Written last: says that the heads are whole."""
        return self.out / ".parts" / f"{self.index:05d}.json"


def make_heads(out: Path, rigs: tuple[Path, ...], *, people: int, seed: int = 0, workers: int = 1) -> None:
    """Render `HEADS` heads of each person into ``out``; see the module's text.

    Raises:
        InputError: a folder that holds no rig.
    """
    tasks = [Task(out, rigs, index, seed) for index in range(people)]
    missing = [task for task in tasks if not task.record.is_file()]
    for kind in ("heads", "bodies"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    if workers == 1:
        for task in track(missing, "rendering"):
            _person(task)
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(_person, missing))
    rows = [row for task in tasks for row in json.loads(task.record.read_text(encoding="utf-8"))]
    write_text(out / "heads.jsonl", "".join(json.dumps(row) + "\n" for row in rows if "part" not in row))
    write_text(out / "bodies.jsonl", "".join(json.dumps(row) + "\n" for row in rows if "part" in row))


def _person(task: Task) -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng((task.seed, task.index))
    skins = next((folder for folder in task.rigs if (folder / "skins").is_dir()), None)
    person = appearance.draw(rigs.load(task.rigs[task.index % len(task.rigs)]), rng, skins)
    rows: list[dict[str, Any]] = []
    for k in range(HEADS):
        name = f"{task.index:05d}_{k:02d}.png"
        behind = k >= HEADS - BEHIND
        picture, landmarks, turn = head(person, rng, behind=behind)
        _write(task.out / "heads" / name, picture)
        rows.append({
            "image": name, "face": not behind, "yaw_pitch_roll": [round(angle, 3) for angle in turn],
            "landmarks": np.round(landmarks, 2).tolist(),
        })  # fmt: skip
    if skins is not None:
        for k in range(BODIES_EACH):
            name, part = f"{task.index:05d}_{k}.png", str(rng.choice(BODIES))
            _write(task.out / "bodies" / name, bodies.draw(skins, part, person, rng, SIZE, SCALE))
            rows.append({"image": name, "part": part})
    write_json(task.record, rows)


def _write(path: Path, picture: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(_png(picture))


def head(
    person: appearance.Person, rng: np.random.Generator, *, behind: bool = False
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """A cut-out: (SIZE, SIZE, 4) RGB and alpha; landmarks (68, 2) in it; yaw, pitch and roll in radians."""
    face = acting.enliven(acting.draw(str(rng.choice(EXPRESSIONS)), rng), rng)
    if rng.random() < 0.08:
        face = acting.blink(face, float(rng.uniform(0.6, 1)))
    turn = _turn(rng, behind)
    mesh, landmarks = person.mesh(face.weights, face.gaze, appearance.rotation(*turn))
    distance = float(rng.uniform(45, 150))
    camera = Camera(distance, np.array([[SCALE, 0, SIZE / 2], [0, SCALE, 0.44 * SIZE]]))
    colour, cover = scene.cut_out(person, mesh, scene.draw(rng), camera, (SIZE, SIZE))
    picture = np.concatenate([np.clip(colour, 0, 255), 255 * cover[..., None]], axis=2)
    return picture.round().astype(np.uint8), camera.project(landmarks), turn


def _turn(rng: np.random.Generator, behind: bool) -> tuple[float, float, float]:
    """Mostly towards the camera, often half or all to a side."""
    yaw = rng.uniform(2, 4.3) if behind else rng.normal(0, 0.35) if rng.random() < 0.6 else rng.uniform(-1.25, 1.25)
    pitch, roll = rng.normal(0, [0.22, 0.08])
    return float(yaw), float(np.clip(pitch, -0.6, 0.6)), float(roll)


def _png(picture: np.ndarray) -> bytes:
    ok, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA))
    assert ok
    return bytes(data)


def gather_pictures(out: Path, folders: tuple[Path, ...]) -> tuple[int, list[Path]]:
    """Bring face-free pictures to one size into ``out``/pictures.

    Returns:
        how many there are, and those left out because YuNet sees a face in them.

    Raises:
        InputError: a folder is missing.
    """
    finder = None
    if weights.is_present("yunet"):
        from sentio.affect.faces.detectors import open_detector

        finder = open_detector("yunet")
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    paths = [(folder, path) for folder in folders for path in _pictures(folder)]
    suspicious = []
    for folder, path in track(paths, "pictures"):
        place = path.relative_to(folder).with_suffix(".jpg")
        target = out / "pictures" / "-".join((folder.name, *place.parts))
        picture = None if target.is_file() else _reduced(path)
        if picture is None:
            continue
        if finder and any(face.score >= SUSPICIOUS for face in finder(picture)):
            suspicious.append(path)
            continue
        with atomic_path(target) as temporary:
            temporary.write_bytes(scene.compress(picture, 92))
    return len(list((out / "pictures").glob("*.jpg"))), suspicious


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder.")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())


def _reduced(path: Path) -> scene.Image | None:
    """RGB, the long side `PICTURE_SIDE` at most, transparency over grey; None for icons and damaged files."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is not None and picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    if picture is None or picture.dtype != np.uint8 or min(picture.shape[:2]) < 160:
        return None
    scale = min(1.0, PICTURE_SIDE / max(picture.shape[:2]))
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if picture.shape[2] == 4:
        cover = picture[..., 3:] / 255.0
        picture = (picture[..., :3] * cover + 128 * (1 - cover)).round().astype(np.uint8)
    return np.ascontiguousarray(picture[..., ::-1])


def main() -> None:
    """The command of the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rigs", nargs="+", type=Path, default=[])
    parser.add_argument("--pictures", nargs="+", type=Path, default=[])
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.pictures:
        count, suspicious = gather_pictures(given.out, tuple(given.pictures))
        print(
            f"{counted(count, 'picture')}; left out, for YuNet sees a face: {', '.join(map(str, suspicious)) or 'none'}"
        )
    if given.rigs:
        make_heads(given.out, tuple(given.rigs), people=given.people, seed=given.seed, workers=given.workers)


if __name__ == "__main__":
    main()
