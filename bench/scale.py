"""The first day with the real data: a folder as large as Aff-Wild2 built, checked, indexed, encoded, trained on.

    python bench/scale.py                                   500 clips of 5,000 frames, 2.4 million crops, VA
    python bench/scale.py --sets va,expr,au                 the same, seven million windows
    python bench/scale.py --clips 5 --frames 400 --encoder small --encoded 1 --steps 2      in seconds
    python bench/scale.py --root FOLDER --stages index,epoch    a folder that is kept, or was built before

Crops are hard links to some dozens of JPEGs, so that the folder takes gigabytes of vectors and directory entries, not
of pictures. Each stage runs in a process of its own. `cpu_s` are the seconds that do not depend on who else uses the
machine; `peak_mb` counts mapped files, and `anonymous_mb`, at the end of the stage, does not. Stored features are
random numbers (`vectors`); how fast crops are decoded and stored is measured with an encoder that averages them
(`features`), and how long it takes to see that nothing is to be done (`features_again`). `epoch` is CAPNet's on
stored features, its validation included.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

GAPS = 0.04
"""Share of the frames without a crop."""
LINKS = 60_000
"""Names of one file, at most; ext4 allows 65,000."""
FRAME_RATE = 30
STAGES = ("build", "vectors", "check", "index", "features", "features_again", "epoch")


def build(options: argparse.Namespace) -> dict[str, Any]:
    """Annotations, crops and, if asked for, videos with sound; every fifth clip is for validation.

    What they are links to is hidden, for hidden files are passed over.
    """
    from sentio.affect.synth.layout import write_annotations, write_media

    rng = np.random.default_rng(0)
    count = 0
    sources = _pictures(options.root / ".pictures", -(-options.clips * options.frames // LINKS), rng)
    film = options.root / ".film.mp4"
    if options.videos:
        picture = np.zeros((112, 112, 3), np.uint8)
        sound = rng.uniform(-0.1, 0.1, 16_000 * options.frames // FRAME_RATE).astype(np.float32)
        write_media(film, (picture for _ in range(options.frames)), sound, FRAME_RATE)
    for number in range(options.clips):
        name = f"clip{number:03d}"
        write_annotations(options.root, name, "validation" if number % 5 == 4 else "training", _labels(options, rng))
        folder = options.root / "cropped_aligned" / name
        folder.mkdir(parents=True)
        for frame in np.flatnonzero(rng.random(options.frames) >= GAPS):
            os.link(sources[count // LINKS], folder / f"{frame + 1:05d}.jpg")
            count += 1
        if options.videos:
            os.link(film, options.root / f"{name}.mp4")
    return {"crops": count}


def _pictures(folder: Path, count: int, rng: np.random.Generator) -> list[Path]:
    """So many JPEGs."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        cv2.imwrite(str(path), cv2.resize(rng.integers(0, 256, (14, 14, 3), np.uint8), (112, 112)))
    return paths


def _labels(options: argparse.Namespace, rng: np.random.Generator) -> dict[str, Any]:
    time_s = np.arange(options.frames)[:, None] / FRAME_RATE
    va = np.sin(time_s * rng.uniform(0.5, 2, 2) + rng.uniform(0, 6, 2))
    everything = {
        "va": va,
        "expr": np.floor((va[:, :1] + 1) * 3.9).astype(int),
        "au": (va[:, :1] > np.linspace(-0.8, 0.8, 12)).astype(int),
    }
    return {name: everything[name] for name in options.sets}


def _store(options: argparse.Namespace) -> Any:
    from sentio.affect.data.features import FeatureStore

    return FeatureStore(options.root / "features", options.method.part("encoder"))


def vectors(options: argparse.Namespace) -> dict[str, Any]:
    """Random vectors of every crop, as `sentio features` would leave them."""
    from sentio.affect.data.clips import image_numbers
    from sentio.affect.data.features import describe_source

    store = _store(options)
    random = np.random.default_rng(0).standard_normal((options.frames, store.encoder.info.dim), np.float32)
    for folder in sorted((options.root / "cropped_aligned").iterdir()):
        times = image_numbers(folder) - 1.0
        store.save(folder.name, random[: len(times)], times, (), start_s="0.0", rate="0.0", **describe_source(folder))
    files = list(store.folder.iterdir())
    return {"files": len(files), "disk_mb": round(sum(path.stat().st_size for path in files) / 2**20)}


def check(options: argparse.Namespace) -> dict[str, Any]:
    """`sentio data check`."""
    from sentio.affect.data.check import check as check_data

    report = check_data(options.root)
    return {"images": report.images, "problems": len(report.problems)}


def _data(options: argparse.Namespace, sets: tuple[Any, ...]) -> Any:
    from sentio.affect.data.windows import Windows
    from sentio.affect.training.published import AffectData, DataConfig

    config = DataConfig(sets=sets, windows=Windows(length=10, step=10, search=9))
    return AffectData(options.root, config, faces=_store(options))


def index(options: argparse.Namespace) -> dict[str, Any]:
    """What training does before its first step: the folder read, stored features opened, windows cut."""
    data = _data(options, options.sets)
    return {"windows": len(data.train_dataset()) + len(data.validation)}


def features(options: argparse.Namespace) -> dict[str, Any]:
    """Crops of the first clips through an encoder that does next to nothing."""
    from torch import Tensor, nn

    from sentio.affect.backbones import EncoderInfo
    from sentio.affect.data.extraction import extract_faces
    from sentio.affect.data.features import FeatureStore

    class Mean(nn.Module):
        """Faces (B, T, 3, H, W) -> mean colours (B, T, 3)."""

        info = EncoderInfo(name="mean", dim=3, licence="Apache-2.0", provenance="bench")

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Linear(1, 1)

        def forward(self, faces: Tensor) -> Tensor:
            return faces.mean((3, 4))

    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), Mean())
        folders = {path.name: path for path in sorted((options.root / "cropped_aligned").iterdir())[: options.encoded]}
        extract_faces(store, folders)
        return {"crops": sum(len(store.open(name).times) for name in folders)}


def features_again(options: argparse.Namespace) -> dict[str, Any]:
    """`sentio features` where nothing is left to do."""
    from sentio.affect.data.extraction import extract_faces

    folders = {path.name: path for path in (options.root / "cropped_aligned").iterdir()}
    return {"problems": len(extract_faces(_store(options), folders))}


def epoch(options: argparse.Namespace) -> dict[str, Any]:
    """One pass over the training windows, or the first steps of it, and the validation after it."""
    from sentio.core.optimization import FitConfig
    from sentio.core.training import fit

    data = _data(options, ("va",))
    config = FitConfig(
        epochs=1, steps=options.steps, batch_size=128, optimizer="adam", lr=1e-5, workers=options.workers
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(options.method, data, config, Path(folder) / "run")
    return {"windows": len(data.train_dataset()), "steps": options.steps or len(data.train_dataset()) // 128}


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A stage: what it tells, its seconds and its peak memory.

    The seconds begin when torch is there and CAPNet, the same in every process, is built.
    """
    import torch

    from sentio.core import registry
    from sentio.core.bench import peak_memory_mb

    torch.manual_seed(0)
    options.method = registry.build("capnet", {"encoder": options.encoder})
    start = time.perf_counter(), time.process_time()
    figures: dict[str, Any] = globals()[name](options)
    seconds, cpu_s = round(time.perf_counter() - start[0], 2), round(time.process_time() - start[1], 2)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    anonymous = round(int(status["RssAnon"].split()[0]) / 2**10)
    return figures | {"seconds": seconds, "cpu_s": cpu_s, "peak_mb": round(peak_memory_mb()), "anonymous_mb": anonymous}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder to build in and to keep; a temporary one if not given")
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--sets", type=lambda text: tuple(text.split(",")), default=("va",))
    parser.add_argument("--videos", action="store_true", help="with videos that have sound")
    parser.add_argument("--encoder", default="resnext34", help="face network of which the stored vectors pretend to be")
    parser.add_argument("--encoded", type=int, default=20, help="clips whose crops are encoded")
    parser.add_argument("--steps", type=int, help="of the epoch; all of it if not given")
    parser.add_argument("--workers", type=int, default=0, help="processes that load windows")
    parser.add_argument("--stages", type=lambda text: tuple(text.split(",")), default=STAGES)
    parser.add_argument("--out", type=Path, help="JSON lines to append the report to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options.root = options.root or Path(folder)
        figures = {}
        for name in options.stages:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                figures[name] = pool.submit(measure, name, options).result()
            print(name, figures[name], flush=True)
    from sentio.core.bench import report

    report("scale", figures, options.out)


if __name__ == "__main__":
    main()
