"""Speed of the data side: annotations read, features extracted, windows loaded.

    python bench/data.py                                    all three on a drawn set
    python bench/data.py --encoder clip:FOLDER              features by another encoder
    python bench/data.py --data AFFWILD2                    on a real folder

Windows are loaded and joined into batches as in training, in one process.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from sentio.affect.backbones import Encoder
from sentio.affect.backbones.encoders import open_encoder
from sentio.affect.backbones.small import SmallResNet
from sentio.affect.data.extraction import extract_faces
from sentio.affect.data.features import FeatureStore
from sentio.affect.data.sets import read_sets
from sentio.affect.data.tree import scan
from sentio.affect.data.windows import Windows
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.affect.training.published import AffectData, DataConfig
from sentio.core.bench import report

RULES = {
    "capnet": Windows(length=10, step=10, search=9),
    "sequence of 100": Windows(length=100, padding="repeat"),
    "60 frames, all answered": Windows(length=60, hop=30, answers="all", padding="mask"),
}


def read_labels(root: Path) -> dict[str, float]:
    """Annotation lines a second, crop folders listed along."""
    start = time.perf_counter()
    clips, _ = read_sets(scan(root), ("va", "expr", "au"))
    seconds = time.perf_counter() - start
    return {"lines_per_s": round(sum(clip.frames for clip in clips) / seconds)}


def extract(root: Path, store: FeatureStore) -> dict[str, float]:
    """Crops a second, from JPEG to stored vector."""
    start = time.perf_counter()
    extract_faces(store, scan(root).crops)
    seconds = time.perf_counter() - start
    crops = sum(len(store.open(path.stem).times) for path in store.folder.iterdir())
    return {"crops_per_s": round(crops / seconds, 1)}


def load_windows(data: AffectData, *, batch_size: int = 128, seconds: float = 3.0) -> dict[str, float]:
    """Windows and entries a second, read in random order and joined into batches."""
    dataset = data.train_dataset()
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0)).tolist()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        rows = [order[(count + k) % len(order)] for k in range(batch_size)]
        data.collate([dataset[row] for row in rows])
        count += batch_size
    rate = count / (time.perf_counter() - start)
    return {"windows_per_s": round(rate), "entries_per_s": round(rate * data.config.windows.length)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--encoder")
    parser.add_argument("--out", type=Path, help="JSON lines to append the report to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        root = options.data or Path(folder) / "drawn"
        if options.data is None:
            generate(root, MovingPicture(videos=16))
        encoder: Encoder = open_encoder(options.encoder) if options.encoder else SmallResNet().eval()
        store = FeatureStore(Path(folder) / "store", encoder)
        figures = {"annotations": read_labels(root), f"features, {encoder.info.name}": extract(root, store)}
        for name, rule in RULES.items():
            figures[f"windows of features, {name}"] = load_windows(
                AffectData(root, DataConfig(windows=rule), faces=store)
            )
        figures["windows of images, one frame"] = load_windows(AffectData(root))
        report("data", figures, options.out)


if __name__ == "__main__":
    main()
