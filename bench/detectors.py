"""The face detectors on the same real pictures: Haar, builtin (ours, learnt from renders) and YuNet.

    python bench/detectors.py photographs FOLDER   found, and error of landmarks, on photographs with hand-placed points
                                                   (Face Research Lab London Set: NAME.jpg with NAME.tem at twice the
                                                   size): as they are, dimmed, leaning, small
    python bench/detectors.py clips FILE...        faces in single frames, against those of YuNet
    python bench/detectors.py pictures FOLDER      false faces in pictures without faces: with heads.jsonl beside it,
                                                   those that the detector was not trained on
    python bench/detectors.py labelled FOLDER      single pictures, searched as the tracker searches them, against
                                                   FOLDER/labels.csv (picture, x, y, width, height and five points of
                                                   YuNet's): faces missed, others, distance of the landmarks
    python bench/detectors.py speed                ms a picture, one thread, processor time

A face counts from the score 0.7 that the tracker asks of a new one. `--draw OUT` writes pictures with what was found.
"""

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.faces.alignment import apply
from sentio.affect.faces.detection import Detection, Detector, Image, overlap
from sentio.affect.faces.detectors import NAMES, open_detector
from sentio.affect.faces.search import search
from sentio.affect.faces.tracking import FaceTracker, TrackedFace, TrackingConfig
from sentio.affect.media import open_media
from sentio.core.bench import report

Found = TypeVar("Found", Detection, TrackedFace)
COLOURS = {"haar": (255, 60, 60), "builtin": (60, 255, 60), "yunet": (80, 140, 255)}
SCORE = TrackingConfig.start_score
SAME = 0.4
"""IoU from which two boxes are one face."""
LONDON = [[0], [1], [54, 60], [87], [93]]
"""Points of the 189 that stand for the five landmarks; the nose tip is the mean of two."""


def photographs(folder: Path, draw: Path | None) -> None:
    found: dict[tuple[str, str], int] = defaultdict(int)
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    others: dict[tuple[str, str], int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    finders = {name: open_detector(name) for name in NAMES}
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        points = np.loadtxt(path.with_suffix(".tem"), skiprows=1, max_rows=189) / 2
        truth = np.stack([points[numbers].mean(0) for numbers in LONDON])
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        for kind, shown, five in conditions(image, truth, np.random.default_rng(number)):
            total[kind] += 1
            seen = {name: above(finder(shown)) for name, finder in finders.items()}
            for name, faces in seen.items():
                best = holding(faces, five)
                others[name, kind] += len(faces) - (best is not None)
                if best is not None:
                    found[name, kind] += 1
                    apart = np.linalg.norm(best.landmarks - five, axis=1) / np.linalg.norm(five[1] - five[0])
                    errors[name, kind].append(float(apart.mean()))
            if draw and number % 10 == 0:
                save(draw / f"{path.stem}-{kind}.jpg", shown, seen)
    figures = {
        f"{kind}: {name}": {
            "found": f"{found[name, kind]} of {total[kind]}",
            "landmark_error_in_eye_distances": rounded(np.mean(errors[name, kind])) if errors[name, kind] else None,
            "other_faces": others[name, kind],
        }
        for kind in total
        for name in NAMES
    }
    report("detectors photographs", figures)


def conditions(image: Image, truth: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, Image, np.ndarray]]:
    """Kind, picture, points: the photograph at 320 pixels, dimmed to a fifth, leaning by 20 degrees, and as a face of
    about 50, 25 and 15 pixels in a grey picture of 384 x 216."""

    def moved(matrix: np.ndarray, size: tuple[int, int], **border) -> tuple[Image, np.ndarray]:
        scale = np.sqrt(np.linalg.det(matrix[:, :2]))
        blurred = cv2.GaussianBlur(image, (0, 0), 0.45 / scale) if scale < 0.9 else image
        return np.asarray(cv2.warpAffine(blurred, matrix, size, **border), np.uint8), apply(matrix, truth)

    half = 320 / image.shape[0]
    plain, points = moved(np.array([[half, 0, 0], [0, half, 0.0]]), (320, 320))
    yield "as it is", plain, points
    yield "dimmed to a fifth", (plain * 0.2).astype(np.uint8), points
    for angle in (-20, 20):
        lean = cv2.getRotationMatrix2D((image.shape[1] / 2, image.shape[0] / 2), angle, half)
        lean[:, 2] += 160 - np.array(image.shape[1::-1]) / 2
        yield "leaning by 20 degrees", *moved(lean, (320, 320), borderMode=cv2.BORDER_REPLICATE)
    for width in (50, 25, 15):
        scale = width / (2.0 * np.linalg.norm(truth[1] - truth[0]))
        side = image.shape[0] * scale
        x, y = rng.uniform(0, max(384 - side, 1)), rng.uniform(0, max(216 - side, 1))
        grey = (128, 128, 128)
        matrix = np.array([[scale, 0, x], [0, scale, y]])
        yield f"{width} pixels wide", *moved(matrix, (384, 216), borderMode=cv2.BORDER_CONSTANT, borderValue=grey)


def searched(finder: Detector, image: Image) -> list[Detection]:
    return search(finder, image, side=TrackingConfig.search_side, smallest=TrackingConfig.smallest)


def above(faces: Sequence[Found], score: float = SCORE) -> list[Found]:
    return [face for face in faces if face.score >= score]


def holding(faces: list[Detection], points: np.ndarray) -> Detection | None:
    """The face whose box holds the middle of the points and is about of their size."""
    (x, y), reach = points.mean(0), np.linalg.norm(points[1] - points[0])
    for face in faces:
        left, top, width, height = face.box
        if left < x < left + width and top < y < top + height and 1.2 * reach < width < 4 * reach:
            return face
    return None


def clips(paths: list[Path], every: int, draw: Path | None) -> None:
    """Single frames, searched at two scales as the tracker searches them."""
    finders = {name: open_detector(name) for name in NAMES}
    figures = {}
    for path in paths:
        counts: dict[str, int] = defaultdict(int)
        with open_media(path) as media:
            for number, frame in enumerate(media):
                if number % every:
                    continue
                image = frame.image
                seen = {name: above(searched(finder, image)) for name, finder in finders.items()}
                counts["frames"] += 1
                for name, faces in seen.items():
                    shared = overlap([f.box for f in seen["yunet"]], [f.box for f in faces])
                    counts[f"{name}: faces"] += len(faces)
                    if name != "yunet":
                        counts[f"{name}: of yunet's"] += int((shared.max(1, initial=0) >= SAME).sum())
                        counts[f"{name}: others"] += int((shared.max(0, initial=0) < SAME).sum())
                if draw and number % (every * 5) == 0:
                    save(draw / f"{path.stem}-{number:04d}.jpg", image, seen)
        figures[path.name] = dict(counts)
    report("detectors clips", figures)


def pictures(folder: Path, draw: Path | None) -> None:
    finders = {name: open_detector(name) for name in NAMES}
    paths = sorted(folder.glob("*.jpg"))
    if (folder.parent / "heads.jsonl").is_file():
        from sentio.affect.synth.composites import VALIDATION

        paths = paths[::VALIDATION]
    counts: dict[str, int] = defaultdict(int)
    for path in paths:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        seen = {name: searched(finder, image) for name, finder in finders.items()}
        for name, faces in seen.items():
            for score in (SCORE, TrackingConfig.keep_score):
                counts[f"{name}: score {score} and up"] += len(above(faces, score))
        if draw and any(above(faces, TrackingConfig.keep_score) for faces in seen.values()):
            save(draw / path.name, image, seen)
    report("detectors pictures", {"pictures": len(paths), "false_faces": dict(counts)})


POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
"""The columns of ``labels.csv``; right and left are the person's there, so that they come in our order."""
HIGH = 0.9
"""A false face of this score would mislead whoever trusts scores."""


def read_labels(folder: Path) -> list[dict[str, str]]:
    """The lines of ``labels.csv``."""
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def points_of(row: dict[str, str]) -> np.ndarray:
    """The five landmarks of a line, (5, 2)."""
    return np.array([[float(row[f"{point}_{axis}"]) for axis in "xy"] for point in POINTS])


def labelled(folder: Path, draw: Path | None) -> None:
    rows = [row for row in read_labels(folder) if row["x"]]
    finders = {name: open_detector(name) for name in NAMES}
    counts: dict[str, dict[str, int]] = {name: defaultdict(int) for name in NAMES}
    apart: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        image = cv2.cvtColor(cv2.imread(str(folder / "pictures" / row["picture"])), cv2.COLOR_BGR2RGB)
        label = tuple(float(row[name]) for name in ("x", "y", "width", "height"))
        points = points_of(row)
        seen = {name: in_single_picture(finder, image) for name, finder in finders.items()}
        for name, faces in seen.items():
            shared = overlap([label], [face.box for face in faces])[0]
            others = [face for face, share in zip(faces, shared, strict=True) if share < SAME]
            strange = overlap([face.box for face in others], [face.box for face in seen["yunet"]]).max(1, initial=0)
            counts[name]["faces"] += len(faces)
            counts[name]["missed"] += len(others) == len(faces)
            counts[name]["not labelled"] += len(others)
            counts[name][f"not labelled, above {HIGH}"] += len(above(others, HIGH))
            counts[name]["not labelled, nor YuNet's"] += int((strange < SAME).sum())
            if len(others) < len(faces):
                errors = np.linalg.norm(faces[int(shared.argmax())].landmarks - points, axis=1)
                apart[name].append(float(errors.mean() / np.linalg.norm(points[1] - points[0])))
        if draw and [face for face in seen["builtin"] if overlap([label], [face.box])[0, 0] < SAME]:
            save(draw / "others" / row["picture"], image, seen)
        if draw and overlap([label], [face.box for face in seen["builtin"]]).max(initial=0) < SAME:
            save(draw / "missed" / row["picture"], image, seen)
    figures = {
        name: dict(counts[name]) | {"median_landmark_distance": rounded(np.median(apart[name]))} for name in NAMES
    }
    report("detectors labelled", {"labelled_faces": len(rows)} | figures)


def in_single_picture(finder: Detector, image: Image) -> list[TrackedFace]:
    """As `sentio analyze` finds faces in a photograph."""
    tracker = FaceTracker(finder)
    return [face for frame in tracker.push(image, 0.0) + tracker.flush() for face in frame.faces]


def speed(repeats: int = 100) -> None:
    """The demo clip's first frame, enlarged with its borders repeated."""
    with open_media(DEMO_CLIP) as media:
        frame = next(iter(media)).image
    figures: dict[str, dict[str, float]] = {}
    for width, height in ((640, 360), (384, 216), (160, 160)):
        scale = height / frame.shape[0]
        image = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        side = max(0, width - image.shape[1])
        image = cv2.copyMakeBorder(image, 0, 0, side // 2, side - side // 2, cv2.BORDER_REPLICATE)
        image = np.ascontiguousarray(image[:, (image.shape[1] - width) // 2 :][:, :width])
        figures[f"{width}x{height}"] = {name: milliseconds(open_detector(name), image, repeats) for name in NAMES}
    report("detectors speed", {"ms": figures})


def milliseconds(finder: Detector, image: Image, repeats: int) -> float:
    for _ in range(3):
        finder(image)
    start = time.process_time()
    for _ in range(repeats):
        finder(image)
    return rounded(1e3 * (time.process_time() - start) / repeats)


def rounded(value: float) -> float:
    return round(float(value), 4)


def save(path: Path, image: Image, seen: Mapping[str, Sequence[Detection | TrackedFace]]) -> None:
    """The picture, enlarged, with each detector's boxes, points and scores in a colour of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    zoom = max(1, round(640 / max(image.shape[:2])))
    canvas = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    for name, faces in seen.items():
        for face in faces:
            x, y, width, height = (int(v * zoom) for v in face.box)
            cv2.rectangle(canvas, (x, y), (x + width, y + height), COLOURS[name], 1, cv2.LINE_AA)
            cv2.putText(canvas, f"{face.score:.2f}", (x, y - 3), 0, 0.4, COLOURS[name], 1, cv2.LINE_AA)
            for point in face.landmarks:
                cv2.circle(canvas, tuple(int(v) for v in (point * zoom).round()), 2, COLOURS[name], -1, cv2.LINE_AA)
    cv2.imwrite(str(path), canvas[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("photographs", "pictures", "labelled"):
        verbs.add_parser(verb).add_argument("folder", type=Path)
    of_clips = verbs.add_parser("clips")
    of_clips.add_argument("files", type=Path, nargs="+")
    of_clips.add_argument("--every", type=int, default=3)
    for verb in ("photographs", "pictures", "labelled", "clips"):
        verbs.choices[verb].add_argument("--draw", type=Path)
    verbs.add_parser("speed")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.verb == "photographs":
        photographs(options.folder, options.draw)
    elif options.verb == "labelled":
        labelled(options.folder, options.draw)
    elif options.verb == "clips":
        clips(options.files, options.every, options.draw)
    elif options.verb == "pictures":
        pictures(options.folder, options.draw)
    else:
        speed()


if __name__ == "__main__":
    main()
