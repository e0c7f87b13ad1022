"""What changes in films when the model over time hears: with their own sound, and with another voice in its place.

    python bench/heard.py FILE... [--voices FILE...] [--models offline,offline-av]

Each FILE is read as it is, and with each of VOICES from half a second on. For each of the two models: mean valence and
arousal, and the shares of the expressions, over the rows in which a voice is credited to the person (``modality`` is
both), or over all rows with a face if there is none; and how far apart the two are elsewhere.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import analyze
from sentio.affect.media import SAMPLE_RATE, open_media
from sentio.core.bench import report
from sentio.core.results import Table
from speaking import write_film

BEGIN_S = 0.5
MOST = 3
"""Expressions that are listed."""


def compared(path: Path, models: tuple[str, str]) -> dict[str, object]:
    """What both models say of a film, and what is heard in it."""
    causal = models[1].startswith("causal")
    tables = [analyze(path, options=Options(model=model, causal=causal)) for model in models]
    modality = tables[1]["modality"].astype(str)
    face, both = np.isin(modality, ("face", "both")), modality == "both"
    counted = both if both.any() else face
    found: dict[str, object] = {
        "rows": len(modality),
        "modality": shares(modality),
        "voice": shares(tables[1]["voice_expression"]),
    }
    if face.any():
        found |= {model: said(table, counted) for model, table in zip(models, tables, strict=True)}
    if (rest := face & ~both).any():
        found["difference elsewhere"] = {
            name: round(float(np.nanmean(np.abs(tables[0][name] - tables[1][name])[rest])), 3)
            for name in ("valence", "arousal")
        }
    return found


def said(table: Table, rows: np.ndarray) -> dict[str, object]:
    means = {name: round(float(np.nanmean(table[name][rows])), 2) for name in ("valence", "arousal")}
    return {**means, "expression": shares(table["expression"][rows])}


def shares(labels: np.ndarray) -> dict[str, float]:
    """The most frequent of the labels that are there."""
    counts = Counter(label for label in labels.tolist() if label is not None)
    return {label: round(count / counts.total(), 2) for label, count in counts.most_common(MOST)}


def write_under(film: Path, voice: Path, out: Path) -> None:
    """The pictures of a film with another voice."""
    with open_media(film) as media:
        frames = [(frame.time_s, frame.image) for frame in media]
    with open_media(voice) as media:
        spoken, _ = media.waveform()
    start_s = frames[0][0]
    sound = np.zeros(round((frames[-1][0] - start_s) * SAMPLE_RATE), np.float32)
    first = round(BEGIN_S * SAMPLE_RATE)
    sound[first : first + len(spoken)] = spoken[: max(0, len(sound) - first)]
    write_film(out, [(time_s - start_s, image) for time_s, image in frames], sound, 0.0, crf=12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--voices", nargs="*", type=Path, default=[])
    parser.add_argument("--models", default="offline,offline-av")
    given = parser.parse_args()
    below, hearing = given.models.split(",")
    figures = {path.name: compared(path, (below, hearing)) for path in given.files}
    with tempfile.TemporaryDirectory() as folder:
        for film in given.files:
            for voice in given.voices:
                out = Path(folder) / f"{film.stem} with {voice.stem}.mkv"
                write_under(film, voice, out)
                figures[out.stem] = compared(out, (below, hearing))
    report("heard", figures)


if __name__ == "__main__":
    main()
