"""Make a labelled data set from rigs: videos in the layout of Aff-Wild2, pictures in those of s-Aff-Wild2 and LSD.

The work is cut into parts, a video or a person's pictures each. A part depends on nothing but its number and the
options, so that parts can be made in any order, by several processes, and after an interruption only the missing ones.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.alignment import SIZE, apply, warp
from sentio.affect.labels import EXPRESSIONS, EXPRESSIONS_LSD
from sentio.affect.synth import acting, appearance, layout, rigs, scene, voice
from sentio.affect.synth.render import Camera
from sentio.core.counts import counted
from sentio.core.errors import InputError, OutputError
from sentio.core.progress import Progress, silent
from sentio.core.writers import atomic_path, write_json, write_text

Image = NDArray[np.uint8]

FPS = 25
FRAME = (240, 320)
CAPTION = 112
"""Pixels before a row of the sheet, for its name."""
PICTURES = 12
"""Of one person, in different scenes."""
VALIDATION = 5
"""Of so many videos, and of so many persons, the second is in the validation split."""
_OPTIONS, _PARTS = "synth.json", ".parts"


@dataclass(frozen=True)
class Options:
    """What decides the bytes of a data set, besides the number of parts.

    Attributes:
        rigs: folders of rigs, used in turn.
        voices: folder of EMO-DB, "" for videos without speech.
        table: an edited copy of assets/expressions.json, "" for the package's own.
        seconds: length of a video.
        seed: one seed, one data set.
    """

    rigs: tuple[str, ...]
    voices: str = ""
    table: str = ""
    seconds: float = 8.0
    seed: int = 0


def make(
    out: Path,
    *,
    videos: int = 0,
    images: int = 0,
    rigs: tuple[Path, ...],
    voices: Path | None = None,
    table: Path | None = None,
    seconds: float = 8.0,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
) -> None:
    """Write ``out``/affwild2 (videos, crops, VA, EXPR, AU and MTL files), ``out``/lsd, faces.jsonl and sheet.png.

    What an interrupted run has finished is kept; more videos or images can be added to a set by the same options.

    Args:
        videos: how many; a fifth, at least one of at least two, is for validation, with actors' voices of its own.
        images: how many, in full dozens, at least two of them; labelled in affwild2/MTL_Challenge; those of six classes
            are in lsd, too. A fifth of the persons, at least one, is for validation.
        rigs: folders with ICT-FaceKit or MPFB.
        voices: folder with EMO-DB.
        table: expressions other than the package's own.
        workers: processes; as many as processors if not given.
        progress: told of parts done and in all.

    Raises:
        InputError: a folder that holds no rig or no voices; a table with missing expressions or unknown movements.
        OutputError: ``out`` was made with other options or cannot be written.
    """
    absolute = tuple(str(Path(folder).resolve()) for folder in rigs)
    options = Options(absolute, _text(voices), _text(table), seconds, seed)
    _check(options)
    _claim(out, options)
    counts = {"video": videos, "person": -(-images // PICTURES)}
    jobs = [(kind, k) for kind, count in counts.items() for k in range(max(count, 2) if count else 0)]
    missing = [job for job in jobs if not _record(out, *job).is_file()]
    done = len(jobs) - len(missing)
    progress(done, len(jobs))
    for count, _ in enumerate(_run(out, options, missing, workers or os.cpu_count() or 1), start=done + 1):
        progress(count, len(jobs))
    _finish(out)


def _text(path: Path | None) -> str:
    return str(Path(path).resolve()) if path else ""


def _check(options: Options) -> None:
    """Fail now rather than in a worker."""
    if not options.rigs:
        raise InputError("No rig is given.", "Name folders with ICT-FaceKit or MPFB; see docs/synth.md.")
    if options.seconds < 1 / FPS:
        raise InputError(f"A video cannot be {options.seconds:g} s long.")
    if missing := [name for name in EXPRESSIONS if name not in _table(options)]:
        raise InputError(f"{options.table} has no expression {', '.join(missing)}.")
    for folder in options.rigs:
        rig = rigs.load(Path(folder))
        for name in set().union(*map(acting.controls, _table(options).values())):
            rig.indices(name)
    if options.voices:
        voice.utterances(Path(options.voices))


def _claim(out: Path, options: Options) -> None:
    wanted = json.loads(json.dumps(asdict(options)))
    path = out / _OPTIONS
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != wanted:
            raise OutputError(f"{out} was made with other options: see {path}.", "Choose another folder.")
    elif out.exists() and any(out.iterdir()):
        raise OutputError(f"{out} is not empty.", "Choose another folder.")
    else:
        write_json(path, wanted)


def _record(out: Path, kind: str, index: int) -> Path:
    return out / _PARTS / f"{kind}{index:06d}.json"


def _run(out: Path, options: Options, jobs: list[tuple[str, int]], workers: int) -> Iterator[None]:
    tasks = [(out, options, *job) for job in jobs]
    if workers == 1 or len(jobs) < 2:
        yield from map(_part, tasks)
    else:
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
            yield from pool.map(_part, tasks)


def _part(task: tuple[Path, Options, str, int]) -> None:
    """Make one part; its record is written last and says that it is whole."""
    out, options, kind, index = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng((options.seed, index, kind == "video"))
    folder = Path(options.rigs[index % len(options.rigs)])
    person = appearance.draw(rigs.load(folder), rng, _skins(options))
    rows = (_video if kind == "video" else _pictures)(out, options, index, person, rng)
    write_json(_record(out, kind, index), rows)


def _skins(options: Options) -> Path | None:
    """The first rig folder that has photographic skins; they serve all rigs."""
    return next((Path(folder) for folder in options.rigs if (Path(folder) / "skins").is_dir()), None)


def _table(options: Options) -> acting.Table:
    return acting.expressions(Path(options.table) if options.table else None)


def _split(index: int) -> str:
    return "validation" if index % VALIDATION == 1 else "training"


def _describe(
    person: appearance.Person, face: acting.Face, landmarks: NDArray[np.float64], turn: tuple[float, ...]
) -> dict[str, Any]:
    """What is known of a picture: exact labels, landmarks in its pixels, and who is shown how."""
    return {
        "rig": person.rig.name,
        "tone": round(person.look.tone, 3),
        "male": person.look.male,
        "age": round(person.look.age, 3),
        "expression": EXPRESSIONS[face.expression],
        "valence": round(face.valence, 3),
        "arousal": round(face.arousal, 3),
        "action_units": face.action_units.tolist(),
        "movements": {name: round(weight, 3) for name, weight in sorted(face.weights.items()) if weight > 0},
        "yaw_pitch_roll": [round(float(angle), 3) for angle in turn],
        "landmarks": np.round(landmarks, 2).tolist(),
    }


def _pictures(
    out: Path, options: Options, index: int, person: appearance.Person, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """PICTURES aligned crops of one person; all classes come equally often."""
    split, name = _split(index), f"person{index:06d}"
    rows = []
    for k in range(PICTURES):
        label = EXPRESSIONS[(index * PICTURES + k) % len(EXPRESSIONS)]
        face = acting.enliven(acting.draw(label, rng, _table(options)), rng, _table(options))
        if rng.random() < 0.06:
            face = acting.blink(face, float(rng.uniform(0.6, 1)))
        picture, landmarks, turn = aligned(person, face, scene.draw(rng), rng)
        if rng.random() < 0.1:
            picture = scene.occlude(picture, rng)
        data = scene.compress(picture, int(rng.integers(40, 96)))
        _save(out / "affwild2" / "cropped_aligned" / name / f"{k + 1:05d}.jpg", data)
        if label in EXPRESSIONS_LSD:
            place = "training_set_synthetic_images" if split == "training" else "validation_set_synthetic_images"
            _save(out / "lsd" / place / label.upper() / f"{name}_{k + 1:05d}.jpg", data)
        row = layout.mtl_row(name, k, (face.valence, face.arousal), face.expression, face.action_units.tolist())
        about = _describe(person, face, landmarks, turn)
        rows.append({"image": f"{name}/{k + 1:05d}.jpg", "split": split, "mtl": row, "about": about})
    return rows


def aligned(
    person: appearance.Person, face: acting.Face, place: scene.Scene, rng: np.random.Generator
) -> tuple[Image, NDArray[np.float64], tuple[float, ...]]:
    """A crop as a detector would cut it: RGB (112, 112, 3), landmarks (68, 2) in it, turn of the head."""
    turn = tuple(float(a) for a in rng.normal(0, [0.26, 0.12, 0.08]))
    mesh, landmarks = person.mesh(face.weights, face.gaze, appearance.rotation(*turn))
    camera = _shaken(appearance.aligned_camera(landmarks, float(rng.uniform(40, 150))), rng)
    picture = scene.photograph(person, mesh, place, camera, (SIZE, SIZE), rng)
    return picture, camera.project(landmarks), turn


def _shaken(camera: Camera, rng: np.random.Generator) -> Camera:
    """Detectors are not exact: a little shift, turn and zoom about the middle of the crop."""
    angle, zoom = rng.normal(0, 0.03), np.exp(rng.normal(0, 0.03))
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (SIZE - 1) / 2)
    shift = middle - turn @ middle + rng.normal(0, 1.0, 2)
    matrix = turn @ camera.matrix
    matrix[:, 2] += shift
    return Camera(camera.distance, matrix)


def _save(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)  # not synced: the record of the part, written last, is
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror}.", "Check permissions and free space.") from error


def _video(
    out: Path, options: Options, index: int, person: appearance.Person, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """A video with sound, its crops, its annotations."""
    root, name, split = out / "affwild2", f"video{index:06d}", _split(index)
    acts = _acts(rng)
    track = voice.speak(acts, options.seconds, FPS, _voices(options, split), rng)
    shown = acting.perform(acts, options.seconds, FPS, track.energy, rng, _table(options))
    place = scene.draw(rng)
    crops = root / "cropped_aligned" / name
    crops.mkdir(parents=True, exist_ok=True)
    marks: list[NDArray[np.float64]] = []

    def frames() -> Iterator[Image]:
        for k, (picture, landmarks) in enumerate(_film(person, shown, place, rng)):
            crop = warp(picture, appearance.crop_matrix(appearance.five(landmarks)), SIZE)
            _save(crops / f"{k + 1:05d}.jpg", scene.compress(crop, 90))
            marks.append(landmarks)
            yield np.ascontiguousarray(picture[..., ::-1])

    with atomic_path(root / "batch1" / f"{name}.mp4") as temporary:
        layout.write_media(
            temporary, frames(), track.sound, FPS, bit_rate=int(rng.choice([600_000, 1_000_000, 2_000_000]))
        )
    _annotate(root, name, split, shown)
    rows = []
    for k in range(0, len(shown.faces), 5):
        face = shown.faces[k]
        row = layout.mtl_row(name, k, (face.valence, face.arousal), face.expression, face.action_units.tolist())
        crop_marks = apply(appearance.crop_matrix(appearance.five(marks[k])), marks[k])
        about = _describe(person, face, crop_marks, tuple(shown.turns[k]))
        rows.append(
            {"image": f"{name}/{k + 1:05d}.jpg", "split": split, "mtl": row, "about": about | {"said": track.said}}
        )
    return rows


def _acts(rng: np.random.Generator) -> list[str]:
    """Two or three expressions; the first is often Neutral."""
    names = [str(rng.choice(EXPRESSIONS)) for _ in range(rng.integers(1, 3))]
    return (["Neutral"] if rng.random() < 0.4 else []) + names


def _voices(options: Options, split: str) -> dict[str, list[Path]]:
    """Utterances; the last quarter of the actors speak in the validation split only."""
    if not options.voices:
        return {}
    folder = Path(options.voices)
    actors = voice.speakers(folder)
    kept = max(len(actors) // 4, 1) if len(actors) > 1 else 0
    return voice.utterances(
        folder, actors[len(actors) - kept :] if split == "validation" else actors[: len(actors) - kept]
    )


def _film(
    person: appearance.Person, shown: acting.Performance, place: scene.Scene, rng: np.random.Generator
) -> Iterator[tuple[Image, NDArray[np.float64]]]:
    """RGB frames and the landmarks (68, 2) in each."""
    height, width = FRAME
    scale = float(rng.uniform(5.2, 7.2))  # pixels a centimetre
    middle = np.array([width / 2 + rng.normal(0, 25), height * rng.uniform(0.42, 0.5)])
    camera = Camera(float(rng.uniform(60, 150)), np.array([[scale, 0, middle[0]], [0, scale, middle[1]]]))
    for face, turn in zip(shown.faces, shown.turns, strict=True):
        mesh, landmarks = person.mesh(face.weights, face.gaze, appearance.rotation(*turn))
        yield (
            scene.photograph(person, mesh, place, camera, FRAME, rng, scale=0.5),
            camera.project(landmarks),
        )


def _annotate(root: Path, name: str, split: str, shown: acting.Performance) -> None:
    columns = {
        "va": np.array([(face.valence, face.arousal) for face in shown.faces]),
        "expr": np.array([[face.expression] for face in shown.faces]),
        "au": np.stack([face.action_units for face in shown.faces]),
    }
    layout.write_annotations(root, name, split, columns)


def _finish(out: Path) -> None:
    """What is written from all parts together."""
    rows = [
        row for path in sorted((out / _PARTS).glob("*.json")) for row in json.loads(path.read_text(encoding="utf-8"))
    ]
    for split in ("training", "validation"):
        if lines := [row["mtl"] for row in rows if row["split"] == split]:
            layout.write_mtl(out / "affwild2", split, lines)
    lines = [json.dumps({"image": row["image"], "split": row["split"], **row["about"]}) for row in rows]
    write_text(out / layout.LISTING, "\n".join(lines) + "\n")
    if rows:
        _sheet(out, rows)


def _open(path: Path) -> Image:
    picture = cv2.imread(str(path))
    if picture is None:
        raise InputError(f"{path} is missing or damaged.", "Make the data set again in another folder.")
    return np.asarray(picture, np.uint8)


def _sheet(out: Path, rows: list[dict[str, Any]], columns: int = 12) -> None:
    """A row of pictures for each expression, to be looked at, with its name and number of pictures before it."""
    lines = []
    for name in EXPRESSIONS:
        own = [row["image"] for row in rows if row["about"]["expression"] == name]
        chosen = [image for image in own if image.startswith("person")] or own
        spread = sorted({int(k) for k in np.linspace(0, len(chosen) - 1, columns)}) if chosen else []
        pictures = [_open(out / "affwild2" / "cropped_aligned" / chosen[k]) for k in spread]
        rest = np.full((SIZE, SIZE * (columns - len(pictures)), 3), 255, np.uint8)
        lines.append(np.hstack([_caption(name, counted(len(own), "picture")), *pictures, rest]))
    ok, data = cv2.imencode(".png", np.vstack(lines))
    assert ok
    with atomic_path(out / "sheet.png") as temporary:
        temporary.write_bytes(data.tobytes())


def _caption(*texts: str) -> Image:
    """Lines of text on white, (SIZE, CAPTION, 3)."""
    field = np.full((SIZE, CAPTION, 3), 255, np.uint8)
    for k, text in enumerate(texts):
        place = (8, SIZE // 2 + 22 * k)
        cv2.putText(field, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5 - 0.1 * k, (40, 40, 40), 1, cv2.LINE_AA)
    return field
