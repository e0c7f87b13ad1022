"""The things that the pages' commands name, tiny: a page gets a copy of each that it mentions."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

import drawn_faces
import method_data
from pages import ROOT
from sentio.affect.labels import EXPRESSIONS_LSD
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.points.io import Cloud, write_cloud
from sentio.points.shapes import procedural

CLIPS = ROOT / "tests/clips"
SHARED = ROOT.parent / "shared/data"
LINKED = ("recipes", "src", "bench")
"""What a page's folder has of the repository."""


class AbsentError(Exception):
    """A thing is neither here nor can it be made; says what it is."""


def rigs(name: str) -> Callable[[Path], None]:
    return beside(f"affect/{name}", "the heads that the studio renders")


def beside(name: str, what: str) -> Callable[[Path], None]:
    """A link to a file of the data folder beside the checkout."""

    def make(path: Path) -> None:
        if not (SHARED / name).exists():
            raise AbsentError(f"needs {what}, from the data folder beside the checkout")
        path.symlink_to(SHARED / name)

    return make


def clip(name: str) -> Callable[[Path], None]:
    return lambda path: shutil.copyfile(CLIPS / name, path) and None


def films(path: Path) -> None:
    path.mkdir()
    for name in ("talking", "pair"):
        shutil.copyfile(CLIPS / f"{name}.mp4", path / f"{name}.mp4")


def long_takes(path: Path) -> None:
    """Two films, of 6 s and of 5.6 s."""
    path.mkdir()
    for name, parts in (("one", ["talking", "talking"]), ("two", ["returning", "cuts"])):
        with av.open(str(path / f"{name}.mov"), "w") as target:
            stream, number = target.add_stream("libx264", rate=25), 0
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for part in parts:
                with av.open(str(CLIPS / f"{part}.mp4")) as source:
                    for frame in source.decode(video=0):
                        picture = frame.reformat(format="yuv420p")
                        picture.pts, picture.time_base, number = number, Fraction(1, 25), number + 1
                        target.mux(stream.encode(picture))
            target.mux(stream.encode(None))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def openface(path: Path) -> None:
    rows = [{"frame": k + 1, "timestamp": k / 25, "confidence": 0.9, "success": 1} for k in range(5)]
    write_rows(path, [row | {"AU12_r": 2.5, "AU12_c": 1} for row in rows])


def pyfeat(path: Path) -> None:
    face = {"FaceRectX": 3, "FaceRectY": 4, "FaceRectWidth": 80, "FaceRectHeight": 90, "FaceScore": 0.9, "AU12": 0.7}
    rows = [face | {"happiness": 0.8, "input": f"{path.stem}.mp4", "frame": k} for k in range(5)]
    write_rows(path / "one.csv", rows)
    write_rows(path / "two.csv", rows)


def hume(path: Path) -> None:
    faces = [
        {"frame": k, "time": k / 3, "prob": 0.9, "box": {"x": 1.0, "y": 2.0, "w": 30.0, "h": 40.0}}
        | {"emotions": [{"name": "Joy", "score": 0.5}]}
        for k in range(3)
    ]
    groups = {"metadata": None, "grouped_predictions": [{"id": "face_0", "predictions": faces}]}
    found = [{"file": name, "models": {"face": groups}} for name in ("one.mp4", "two.mp4")]
    path.write_text(json.dumps([{"source": {}, "results": {"predictions": found, "errors": []}}]))


def ball(count: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def cloud(path: Path) -> None:
    write_cloud(Cloud(ball(400)), path)


def clouds(suffix: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        for seed in range(2):
            write_cloud(Cloud(ball(300, seed)), path / f"{seed}.{suffix}")

    return make


def sweep(path: Path) -> None:
    """As KITTI has it: x, y, z and intensity."""
    np.column_stack([10 * ball(400), np.linspace(0, 1, 400)]).astype(np.float32).tofile(path)


def mesh(path: Path) -> None:
    method_data.meshes(path.parent / "one-mesh")
    shutil.move(path.parent / "one-mesh/1.off", path)
    shutil.rmtree(path.parent / "one-mesh")


def sampled(path: Path) -> None:
    """Input and truth of the two meshes of `method_data.meshes`, in two sizes."""
    arrays = {}
    for index in (1, 2):
        vertices = procedural(index).vertices * 9 + 4
        for name, count in (("in150", 150), ("gt600", 600), ("in2048", 2048), ("gt8192", 8192)):
            draw = np.random.default_rng(count).integers(0, len(vertices), count)
            arrays[f"{index}|{name}"] = vertices[draw] + np.random.default_rng(count).normal(0, 0.05, (count, 3))
    np.savez(path, **arrays)


def stage(path: Path) -> None:
    """A run of PU-MFA with a checkpoint."""
    from sentio.core import runs

    method_data.meshes(path.parent / "of-stage")
    small = ("data.procedural_shapes=0", "data.clouds=4", "data.patches=2", "data.density=[300,400]", "fit.device=cpu")
    plan = runs.read(ROOT / "recipes/pu_mfa.json", [*small, "fit.steps=1", "fit.batch_size=2", "fit.workers=0"])
    runs.train(plan, path.parent / "of-stage", path)


def drawn(path: Path) -> None:
    """As the organisers of ABAW give it, four videos of three and a half seconds."""
    generate(path, MovingPicture(videos=4, seconds=3.5, seed=3))


def synth(path: Path) -> None:
    """As `sentio synth` fills a folder."""
    drawn(path / "affwild2")
    method_data.renders(path / "renders")
    shutil.move(path / "renders/faces.jsonl", path)
    for folder in (path / "renders/affwild2/cropped_aligned").iterdir():
        shutil.move(folder, path / "affwild2/cropped_aligned")
    lsd(path / "lsd")


def lsd(path: Path) -> None:
    random = np.random.default_rng(0)
    for split, count in (("training_set_synthetic_images", 10), ("validation_set_synthetic_images", 4)):
        for name in EXPRESSIONS_LSD:
            folder = path / split / name.upper()
            folder.mkdir(parents=True)
            for k in range(count):
                smile = random.uniform() * (name == "Happiness")
                face = drawn_faces.picture(random.integers(120, 230, 3).tolist(), smile)
                cv2.imwrite(str(folder / f"{k:06d}_{k}.jpg"), face)


def portraits(path: Path) -> None:
    path.mkdir()
    for picture in CLIPS.glob("portrait*.jpg"):
        shutil.copyfile(picture, path / picture.name)


def labelled(path: Path) -> None:
    """Pictures of seven classes, with the landmarks of their faces."""
    names = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
    points = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
    known, rows = json.loads((CLIPS / "portraits.json").read_text()), []
    for name, (picture, places) in zip(names, known.items(), strict=False):
        row = {"picture": picture, "label": name, "source": "press", "x": 60, "y": 60, "width": 100, "height": 120}
        row |= {
            f"{point}_{axis}": xy[k] for point, xy in zip(points, places, strict=True) for k, axis in enumerate("xy")
        }
        rows.append(row)
    write_rows(path / "labels.csv", rows)
    portraits(path / "pictures")


def disagreeing(path: Path) -> None:
    """Named as bench/disagreement.py names its films; some of each kind that it tells apart."""
    path.mkdir()
    for name in ("Happiness-Neutral-0", "Neutral-Happiness-0", "Anger-Fear-0", "Neutral-Sadness-0"):
        shutil.copyfile(CLIPS / "talking.mp4", path / f"{name}.mp4")


def spoken(path: Path) -> None:
    """As EMO-DB, of eight speakers and all emotions."""
    method_data.spoken(path, speakers=("03", "08", "09", "10", "11", "12", "13", "14"), letters="WLNFATE")


def listed(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


def copied(name: str) -> Callable[[Path], None]:
    """Embedded weights with their card, as an export leaves them in a folder."""

    def make(path: Path) -> None:
        path.mkdir()
        for file in (ROOT / "src/sentio/weights").glob(f"{name}.*"):
            shutil.copyfile(file, path / file.name)

    return make


def saved(system: str, **config: Any) -> Callable[[Path], None]:
    """The weights of a run that has learnt nothing."""

    def make(path: Path) -> None:
        from sentio.core import registry, weights

        path.parent.mkdir(parents=True, exist_ok=True)
        weights.save(path, registry.build(system, config))

    return make


def same(name: str) -> Callable[[Path], None]:
    """Embedded weights, as those of a run."""

    def make(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / f"src/sentio/weights/{name}.safetensors", path)

    return make


def resnet34(path: Path) -> None:
    from safetensors.torch import save_file

    from resnet_weights import state_of

    save_file(state_of("resnet34"), path)


def snapshot(kind: str, **options: Any) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        import snapshots

        path.parent.mkdir(exist_ok=True)
        getattr(snapshots, f"write_{kind}")(path, **options)

    return make


THINGS: dict[str, Callable[[Path], None]] = {
    "clip.mp4": clip("talking.mp4"),
    "rest.mp4": clip("turning.mp4"),
    "interview.mp4": clip("returning.mp4"),
    "a.mp4": clip("talking.mp4"),
    "b.mp4": clip("pair.mp4"),
    "videos": films,
    "takes": long_takes,
    "old.csv": openface,
    "processed/clip.csv": openface,
    "pyfeat": pyfeat,
    "predictions.json": hume,
    "silero_vad.onnx": beside("affect/models/silero-vad/silero_vad.onnx", "the published silero_vad.onnx"),
    "scan.ply": cloud,
    "scan.xyz": cloud,
    "scan.las": cloud,
    "scans": clouds("ply"),
    "pc": clouds("laz"),
    "sweep.bin": sweep,
    "chair.off": mesh,
    "clouds.npz": sampled,
    "MESHES": method_data.meshes,
    "AFFWILD2": drawn,
    "DATA": drawn,
    "LIST": listed("image_location\nvideo4/00001.jpg\nvideo4/00060.jpg\nvideo1/00040.jpg\n"),
    "VIDEOS": listed("video4\nvideo2_left\n"),
    "LSD": lsd,
    "SET": synth,
    "PICTURES": portraits,
    "REAL": labelled,
    "CLIPS": disagreeing,
    "EMODB": spoken,
    "ICT-FACEKIT": rigs("rig-ict"),
    "MPFB": rigs("rig-mpfb"),
    "FIRST": method_data.renders,
    "SECOND": method_data.renders,
    "mine": copied("offline"),
    "runs/mine/best.safetensors": same("face"),
    "runs/fer_tuned/best.safetensors": saved("fer-tuned", encoder="small"),
    "runs/stage2": stage,
    "runs/stage3": stage,
    "runs/stage4": stage,
    "face-before.safetensors": same("face"),
    "detector-before.safetensors": same("detector"),
    "resnet34.safetensors": resnet34,
}
"""What each name on a page is."""
PUBLISHED: dict[str, Callable[[Path], None]] = {
    "openai/clip-vit-base-patch32": snapshot("clip", places=77),
    "openai/clip-vit-base-patch16": snapshot("clip", places=77),
    "google/vit-base-patch16-224-in21k": snapshot("vit"),
    "facebook/wav2vec2-base-960h": snapshot("wav2vec2"),
    "MIT/ast-finetuned-audioset-10-10-0.4593": snapshot("ast"),
    "openai/whisper-tiny.en": snapshot("whisper"),
}
"""Tiny snapshots under the hub's names: a folder of that name is read before the hub is asked."""


class World:
    """Makes each thing once, and copies it into the folders of the pages.

    Attributes:
        folder: where the things lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def furnish(self, page: Path, text: str) -> dict[str, str]:
        """Put what a page's blocks mention into its folder; gives, by name, why a thing is not there."""
        absent = {}
        for name in LINKED:
            (page / name).symlink_to(ROOT / name)
        (page / "docs").mkdir()
        (page / "lsl_api.cfg").write_text("[multicast]\nResolveScope = machine\n")
        for name, make in {**THINGS, **PUBLISHED}.items():
            if name in PUBLISHED or mentions(text, name):
                try:
                    self.put(name, make, page / name)
                except AbsentError as error:
                    absent[name] = str(error)
        return absent

    def put(self, name: str, make: Callable[[Path], None], target: Path) -> None:
        source = self.folder / name
        if not source.exists():
            source.parent.mkdir(parents=True, exist_ok=True)
            make(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() and not source.is_symlink() else shutil.copy
        copy(source, target, follow_symlinks=False) if copy is shutil.copy else copy(source, target)


def mentions(text: str, name: str) -> bool:
    """Whether a name stands somewhere as a path, by itself or with something in it."""
    return re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w.-])", text) is not None
