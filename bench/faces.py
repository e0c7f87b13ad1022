"""Speed and accuracy of the face stage, on one thread.

    python bench/faces.py speed [--detector yunet]       ms per frame of the whole stage, and of its parts alone
    python bench/faces.py landmarks FOLDER               error on photographs with hand-placed points (Face Research
                                                         Lab London Set: NAME.jpg with NAME.tem at twice the size)
    python bench/faces.py clips FILE...                  persons, rows without a face and quality of each clip
    python bench/faces.py model [--weights face]         faces a second that an exported face network judges

The speed of the stage is measured on the demo clip, enlarged to 1280x720 at 30 frames a second, frames in memory. All
times are processor time of this process, which other programs on the machine disturb less than wall time.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from sentio.affect.analysis.models import BATCH_FACES, FaceModel, face_pixels
from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.faces.alignment import align
from sentio.affect.faces.appearance import describe
from sentio.affect.faces.detection import Image
from sentio.affect.faces.detectors import NAMES, open_detector
from sentio.affect.faces.quality import assess
from sentio.affect.faces.tracking import FaceTracker
from sentio.affect.media import open_media
from sentio.core import weights
from sentio.core.bench import report

REPEATS = 200
LONDON = {"left eye": [0], "right eye": [1], "nose tip": [54, 60], "left mouth": [87], "right mouth": [93]}
"""Points of the 189 that stand for the five landmarks; the nose tip is the mean of two."""


def frames_720p() -> Iterator[Image]:
    """The demo clip with a wall at either side."""
    with open_media(DEMO_CLIP) as media:
        for frame in media:
            large = cv2.resize(frame.image, (960, 720))
            yield np.asarray(cv2.copyMakeBorder(large, 0, 0, 160, 160, cv2.BORDER_REPLICATE), np.uint8)


def speed(name: str) -> None:
    tracker = FaceTracker(open_detector(name))
    spent, faces, sample = [], 0, None
    for index, image in enumerate(frames_720p()):
        start = time.process_time()
        decided = tracker.push(image, index / 30)
        spent.append(1e3 * (time.process_time() - start))
        faces += sum(len(frame.faces) for frame in decided)
        if index == 50:
            sample = image, decided[0].faces[0]
    figures = {
        "frames": len(spent),
        "faces": faces,
        "mean_ms": np.mean(spent[5:]),
        "p95_ms": np.percentile(spent[5:], 95),
    }
    figures["parts_ms"] = parts(tracker, *sample)
    report(f"faces speed {name}", rounded(figures))


def parts(tracker: FaceTracker, image: Image, face) -> dict[str, float]:
    """Milliseconds of each part, alone and repeated."""
    work = {
        "search of the whole frame": partial(tracker._search, image, coarsely=False),
        "search at two scales": partial(tracker._search, image, coarsely=True),
        "window": partial(tracker._seek, image, face.box),
        "align": partial(align, image, face.landmarks),
        "describe": partial(describe, face.crop),
        "assess": partial(assess, face.crop, face.landmarks, face.score, image.shape[:2]),
    }
    return {name: milliseconds(call) for name, call in work.items()}


def milliseconds(call: Callable[[], object]) -> float:
    call()
    start = time.process_time()
    for _ in range(REPEATS):
        call()
    return 1e3 * (time.process_time() - start) / REPEATS


def landmarks(folder: Path) -> None:
    """Mean distance over the distance of the eyes, with photographs at 320 and faces as the tracker's windows."""
    figures = {}
    for name in NAMES:
        detector, errors, missed = open_detector(name), [], 0
        for path in sorted(folder.glob("*.jpg")):
            points = np.loadtxt(path.with_suffix(".tem"), skiprows=1, max_rows=189) / 2
            truth = np.stack([points[numbers].mean(0) for numbers in LONDON.values()])
            image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            tracker = FaceTracker(detector)
            tracker.push(image, 0.0)
            faces = [face for frame in tracker.flush() for face in frame.faces]
            if faces:
                errors.append(np.linalg.norm(faces[0].landmarks - truth, axis=1) / np.linalg.norm(truth[1] - truth[0]))
            missed += not faces
        mean = np.mean(errors, axis=0)
        figures[name] = {
            "photographs": len(errors),
            "missed": missed,
            "mean": mean.mean(),
            "without_nose": mean[[0, 1, 3, 4]].mean(),
        }
        figures[name] |= dict(zip(LONDON, mean, strict=True))
    report("faces landmarks", rounded(figures))


def clips(paths: list[Path]) -> None:
    figures = {}
    for path in paths:
        for name in NAMES:
            with open_media(path) as media:
                tracker = FaceTracker(open_detector(name))
                decided = [found for frame in media for found in tracker.push(frame.image, frame.time_s)]
            decided += tracker.flush()
            faces = [face for frame in decided for face in frame.faces]
            figures[f"{path.name} {name}"] = {
                "frames": len(decided),
                "without_face": sum(not frame.faces for frame in decided),
                "persons": len({face.person for face in faces}),
                "rows_with_a_reason": sum(bool(face.quality.reason) for face in faces),
                "median_quality": float(np.median([face.quality.value for face in faces])) if faces else None,
            }
    report("faces clips", rounded(figures))


def model(name: str) -> None:
    """One ONNX Runtime thread; with and without the resizing of the crops."""
    side, session = FaceModel(name).side, weights.session(name)
    rng = np.random.default_rng(0)
    figures = {"weights": name, "sha256": weights.card(name).files["onnx"].sha256}
    for count in (1, BATCH_FACES):
        crops = list(rng.integers(0, 256, (count, 112, 112, 3), np.uint8))
        pixels = face_pixels(crops, side)
        network = milliseconds(partial(session.run, None, {"face": pixels}))
        resizing = milliseconds(partial(face_pixels, crops, side))
        figures[f"batches of {count}"] = {
            "network_faces_per_second": 1e3 * count / network,
            "faces_per_second": 1e3 * count / (network + resizing),
        }
    report("faces model", rounded(figures))


def rounded(figures):
    if isinstance(figures, dict):
        return {name: rounded(value) for name, value in figures.items()}
    return round(float(figures), 4) if isinstance(figures, float | np.floating) else figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("speed").add_argument("--detector", choices=NAMES, default="yunet")
    verbs.add_parser("landmarks").add_argument("folder", type=Path)
    verbs.add_parser("clips").add_argument("files", type=Path, nargs="+")
    verbs.add_parser("model").add_argument("--weights", default="face", help="a card")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.verb == "speed":
        speed(options.detector)
    elif options.verb == "landmarks":
        landmarks(options.folder)
    elif options.verb == "model":
        model(options.weights)
    else:
        clips(options.files)


if __name__ == "__main__":
    main()
