"""What a voice is worth to the models over time: trainings of `offline-av` and `causal-av`, and what they lack.

    python bench/audiovisual.py FOLDER --voices RUN,RUN,... [--systems offline-av,causal-av] [--seeds 3] [--set K=V]

FOLDER is `SET/affwild2` of `sentio synth SET --voices EMODB`, with features of the embedded face model. Each RUN is a
training of the voice model without some speakers (recipes/voice.json, data.held_out): of each video the answers come
from one that did not hear its speaker, and the validation speakers, whom no training video has, were heard by nothing.
Each seed trains by the recipe and keeps the weights of the last step, so that no validation video chooses anything.
Official scores over all labelled frames, by the face model's thresholds; where a model says nothing it is held to what
it said last. Missing faces come in runs of half a second, missing sound in half seconds, the same for all rows.
`without voice` is, to the last bit, the model of faces below. `somebody else's voice`: each validation video has the
sound of the next one. `the voice model alone`: its own valence, arousal and expression where it hears speech. Intervals
are of 95 %, of the mean over the seeds by Student's t; flicker is the mean |difference| from frame to frame of valence
and arousal.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.affect.data.features import Features
from sentio.affect.data.items import Item, WindowDataset
from sentio.affect.experiments._gaps import drop
from sentio.affect.protocol.predictions import Prediction
from sentio.affect.protocol.scoring import predict, tally
from sentio.affect.training.hearing import HearingData
from sentio.core import runs, weights
from sentio.core.experiments import interval
from temporal import flicker

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
ROWS = {
    "face and voice": (0.0, 0.0),
    "without voice": (0.0, 1.0),
    "without face": (1.0, 0.0),
    "30 % of the faces missing": (0.3, 0.0),
    "30 % of the faces missing, without voice": (0.3, 1.0),
    "30 % of the sound missing": (0.0, 0.3),
    "30 % of both missing": (0.3, 0.3),
}
"""Shares of faces and of sound that are taken away."""
FIGURES = {
    "p_va": "VA mean CCC", "ccc_valence": "valence", "ccc_arousal": "arousal", "p_expr": "EXPR macro-F1",
    "p_au": "AU mean F1", "flicker": "flicker",
}  # fmt: skip
FOREIGN, ALONE = "somebody else's voice", "the voice model alone"
RUN = 15
"""Frames of half a second, that lose their face together."""
PIECE_S = 0.5
"""Seconds of sound that go missing together."""
Figures = dict[str, dict[str, float]]


class Lossy(WindowDataset):
    """The validation windows without some faces and some pieces of sound."""

    def __init__(self, data: HearingData, faces: float, sound: float, seed: int) -> None:
        config = data.config
        super().__init__(
            data.scored("validation"), config.windows, data.kinds, faces=data.faces, sound=data.sound,
            sound_s=config.sound_s, own_rate=config.own_rate, sound_suffices=data.sound_suffices,
        )  # fmt: skip
        random = np.random.default_rng((seed, int(100 * faces), int(100 * sound)))
        for number, clip in enumerate(self.clips):
            self.lookups[number] = np.where(drop(clip.frames, faces, RUN, random), -1, self.lookups[number])
        self.silent: list[NDArray[np.bool_]] = [
            drop(clip.frames, sound, 1, random) for clip in self.clips
        ]  # one piece for each frame, which are more than enough

    def __getitem__(self, index: int) -> Item:
        item, silent = super().__getitem__(index), self.silent[self.locate(index)[0]]
        pieces = np.clip(np.floor(item["audio_time_s"] / PIECE_S).astype(int), 0, len(silent) - 1)
        return item | {"audio_valid": item["audio_valid"] & ~silent[pieces]}


class Foreign:
    """The sound of the next validation video in the place of each one's own."""

    def __init__(self, data: HearingData) -> None:
        self.own: Any = data.sound
        self.hop_s, self.encoder = self.own.hop_s, self.own.encoder
        names = [clip.media.stem for clip in data.scored("validation") if clip.media]
        self.next = dict(zip(names, names[1:] + names[:1], strict=True))

    def open(self, name: str, source: Path | None = None) -> Features:
        return self.own.open(self.next[name])


def train(system: str, given: argparse.Namespace, seed: int, out: Path) -> tuple[Any, HearingData]:
    """The network after its last step, or the embedded one, and the data."""
    voices = ", ".join(f'"{run}"' for run in given.voices.split(","))
    plan = runs.read(
        RECIPES / f"{system.replace('-', '_')}.json", [f"data.voices=[{voices}]", f"fit.seed={seed}", *given.set]
    )
    method = weights.load(system if given.embedded else runs.train(plan, given.folder, out)).eval()
    return method, method.open_data(given.folder, plan.data)


def measure(method: Any, windows: Lossy) -> dict[str, float]:
    """The figures of all frames."""
    found = [prediction.filled("previous") for prediction in predict(method, windows)]
    scores = tally(windows.clips, found, thresholds=tuple(method.face.thresholds.tolist())).scores()
    moved = [flicker({"valence_arousal": prediction.fields()["valence_arousal"]})["va"] for prediction in found]
    return {name: scores[name] for name in FIGURES if name in scores} | {"flicker": sum(moved) / len(moved)}


def voice_alone(data: HearingData) -> dict[str, float]:
    """The scores of what the voice model says of each frame, or said last."""
    store: Any = data.sound
    clips, found = data.scored("validation"), []
    for clip in clips:
        told = store.open(clip.media.stem)
        rows = np.searchsorted(told.times, told.picture_times(np.arange(clip.frames)) + 1e-6, side="right") - 1
        said = np.where((rows >= 0) & (told.values[rows, -1] >= 0), 1.0, np.nan)[:, None] * told.values[rows]
        found.append(Prediction(valence_arousal=said[:, 8:10], expression=np.exp(said[:, :8])).filled("previous"))
    return {name: value for name, value in tally(clips, found).scores().items() if name in FIGURES}


def show(seeds: list[Figures]) -> None:
    """Print a line a row; the gains are over the same seed without voice."""
    print("| | " + " | ".join(FIGURES.values()) + " |\n|---|" + "---|" * len(FIGURES))
    for row in seeds[0]:
        told = []
        for name in FIGURES:
            found = interval([seed[row].get(name, np.nan) for seed in seeds])
            half = found.high - found.mean
            told.append(f"{found.mean:.3f} ± {half:.3f}" if half >= 5e-5 else f"{found.mean:.3f}")
        print(f"| {row} | " + " | ".join(told) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voices", required=True)
    parser.add_argument("--systems", default="offline-av,causal-av")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="SECTION.KEY=VALUE of the recipe")
    parser.add_argument("--embedded", action="store_true", help="the weights of the package, on videos of another seed")
    given = parser.parse_args()
    for system in given.systems.split(","):
        seeds: list[Figures] = []
        with tempfile.TemporaryDirectory() as work:
            for seed in range(1 if given.embedded else given.seeds):
                method, data = train(system, given, seed, Path(work) / str(seed))
                figures = {row: measure(method, Lossy(data, *shares, seed)) for row, shares in ROWS.items()}
                figures[ALONE], data.sound = voice_alone(data), Foreign(data)
                seeds.append(figures | {FOREIGN: measure(method, Lossy(data, 0.0, 0.0, seed))})
        print(
            f"\n{system}: {len(data.split('train'))} training clips, {len(data.split('validation'))} validation clips"
        )
        show(seeds)


if __name__ == "__main__":
    main()
