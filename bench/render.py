"""Speed of the synthetic studio, and whether detectors take its renders for faces.

    python bench/render.py speed RIG... [--pictures 24]       milliseconds for a picture, by stage, one thread
    python bench/render.py detectors RIG... [--pictures 100]  share of whole frames in which Haar and YuNet find the
                                                              face, and how far YuNet's points are from the true ones

RIG are folders with ICT-FaceKit or MPFB. Times are processor time of this process.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from sentio.affect.faces.alignment import similarity
from sentio.affect.faces.detectors import open_detector
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.synth import acting, appearance, dataset, rigs, scene
from sentio.affect.synth.render import Camera, render
from sentio.core.bench import report

PER_PERSON = 12


class Clock:
    """Milliseconds of processor time by stage."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.spent[name].append(1e3 * (time.process_time() - start))

    def means(self) -> dict[str, float]:
        return {name: round(float(np.mean(times[1:] or times)), 2) for name, times in self.spent.items()}


def speed(folders: list[Path], pictures: int) -> None:
    skins = next((folder for folder in folders if (folder / "skins").is_dir()), None)
    for folder in folders:
        clock = Clock()
        with clock.stage("load"):
            rig = rigs.load(folder)
        for k in range(-1, -(-pictures // PER_PERSON)):  # the first person is for the compiler
            rng = np.random.default_rng(k + 1)
            clock = Clock() if k == 0 else clock
            with clock.stage("person"):
                person = appearance.draw(rig, rng, skins)
            for _ in range(PER_PERSON if k >= 0 else 1):
                picture(person, rng, clock)
        figures = clock.means()
        figures["one_of_a_person_of_12"] = round(figures["person"] / PER_PERSON + figures["whole"], 2)
        report(f"render speed {rig.name}", {"triangles": len(rig.triangles), "ms": figures})


def picture(person: appearance.Person, rng: np.random.Generator, clock: Clock) -> None:
    with clock.stage("whole"):
        face, place = acting.draw(str(rng.choice(EXPRESSIONS)), rng), scene.draw(rng)
        image, _, _ = dataset.aligned(person, face, place, rng)
        scene.compress(image, 80)
    with clock.stage("of it, muscles and mesh"):
        mesh, landmarks = person.mesh(face.weights, face.gaze, np.eye(3, dtype=np.float32))
    camera = appearance.aligned_camera(landmarks, 80, 224)
    with clock.stage("of it, 224x224 rendered"):
        render(mesh, person.textures, appearance.SURFACES, place.lights, camera, (224, 224))


def detectors(folders: list[Path], pictures: int) -> None:
    skins = next((folder for folder in folders if (folder / "skins").is_dir()), None)
    finders = {name: open_detector(name) for name in ("haar", "yunet")}
    for folder in folders:
        found, errors = defaultdict(int), []
        for k in range(pictures):
            rng = np.random.default_rng(k)
            person = appearance.draw(rigs.load(folder), rng, skins)
            image, truth = frame(person, rng, EXPRESSIONS[k % len(EXPRESSIONS)])
            for name, finder in finders.items():
                best = nearest(finder(image), truth)
                found[name] += best is not None
                if best is not None and name == "yunet":
                    errors.append(difference(best.landmarks, truth))
        shift = np.median(np.array(errors), axis=0).round(2)
        points = dict(zip(("left eye", "right eye", "nose", "left mouth", "right mouth"), shift.tolist(), strict=True))
        report(
            f"render detectors {folder.name}",
            {
                "frames": pictures,
                "found": {name: found[name] / pictures for name in finders},
                "yunet_minus_truth_px_at_112": points,
            },
        )


def frame(person: appearance.Person, rng: np.random.Generator, expression: str) -> tuple[np.ndarray, np.ndarray]:
    """A whole frame 320 x 240 as videos have them, and its five true points."""
    face, place = acting.draw(expression, rng), scene.draw(rng)
    mesh, landmarks = person.mesh(face.weights, face.gaze, appearance.rotation(*rng.normal(0, [0.26, 0.12, 0.08])))
    camera = Camera(100.0, np.array([[6.0, 0, 160], [0, 6.0, 110]]))
    image = scene.photograph(person, mesh, place, camera, (240, 320), rng, scale=0.5)
    image = cv2.imdecode(np.frombuffer(scene.compress(image, 85), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(image), appearance.five(camera.project(landmarks))


def nearest(found, truth):
    """The detection whose box holds the middle of the true points."""
    x, y = truth.mean(0)
    inside = [d for d in found if d.box[0] < x < d.box[0] + d.box[2] and d.box[1] < y < d.box[1] + d.box[3]]
    return inside[0] if inside else None


def difference(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(5, 2) found minus true, in pixels of an aligned crop of 112."""
    matrix = similarity(truth, appearance.TEMPLATE)
    return (points - truth) @ matrix[:, :2].T


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "detectors"])
    parser.add_argument("rigs", nargs="+", type=Path)
    parser.add_argument("--pictures", type=int)
    chosen = parser.parse_args()
    if chosen.what == "speed":
        speed(chosen.rigs, chosen.pictures or 24)
    else:
        detectors(chosen.rigs, chosen.pictures or 100)
