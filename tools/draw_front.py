"""The README's first picture: a frame of the demo clip's film, and a cloud before and after.

    python tools/draw_front.py docs/front.jpg

The person in the clip does not exist, and the cloud is a knot made by a rule.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import sentio
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.media import open_media
from sentio.affect.results.folder import Analysis
from sentio.points.io.cloud import Cloud
from sentio.points.preview import draw_preview

HEIGHT = 480
MOMENT_S = 2.0
"""At which the clip smiles."""
POINTS, RATIO = 2_048, 8

Picture = NDArray[np.uint8]


def film(folder: Path) -> Picture:
    """A frame with all that is drawn on it, blue first."""
    Analysis(folder, Options(), ("overlay",)).write(folder / "film", DEMO_CLIP)
    with open_media(folder / "film/overlay.mp4", start=MOMENT_S) as media:
        return next(iter(media)).image[..., ::-1]


def knot(points: int) -> NDArray[np.float64]:
    """(points, 3) drawn at random from the surface of a tube along a trefoil."""
    random = np.random.default_rng(0)
    along, around = random.uniform(0, 2 * np.pi, (2, points))

    def centre(t: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)], axis=1)

    ahead = centre(along + 1e-4) - centre(along - 1e-4)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    aside = np.cross(ahead, [0.0, 0.0, 1.0])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    upward = np.cross(ahead, aside)
    return centre(along) + 0.55 * (np.cos(around)[:, None] * aside + np.sin(around)[:, None] * upward)


def clouds(folder: Path) -> Picture:
    """The knot before and after."""
    sparse = knot(POINTS)
    draw_preview(Cloud(sparse), Cloud(sentio.upsample(sparse, ratio=RATIO)), folder / "knot.png")
    picture: Picture = cv2.imread(str(folder / "knot.png"))
    return picture


def main() -> None:
    """Draw both, at one height."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        parts = [film(Path(name)), clouds(Path(name))]
    scaled = [
        cv2.resize(part, (round(part.shape[1] * HEIGHT / part.shape[0]), HEIGHT), interpolation=cv2.INTER_AREA)
        for part in parts
    ]
    cv2.imwrite(str(arguments.picture), np.hstack(scaled), [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(arguments.picture, f"{arguments.picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
