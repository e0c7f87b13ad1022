"""The voice model on speakers that it was not trained on, and on real sound beside another detector of speech.

    python bench/voice.py folds EMODB [SECTION.KEY=VALUE ...]     four trainings, each without two speakers
    python bench/voice.py sounds FILE... [--silero MODEL.onnx]    what the embedded model hears, beside Silero VAD
    python bench/voice.py speed                                   milliseconds of one thread for a second of sound

``folds`` trains with recipes/voice.json (with settings, if given) and keeps the weights of the last step: no epoch is
chosen on the speakers that are tested. ``whole`` scores each utterance as one window, as VoiceModel.score does;
``stream`` lays it into silence, scores it every quarter of a second as a film's sound is scored, and averages where
there is speech.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import rankdata

from sentio.affect.analysis import voice
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.media import AudioBlock, open_media
from sentio.affect.models.voice import RECENT
from sentio.affect.synth import voice as voices
from sentio.affect.synth.noise import chords, coloured
from sentio.affect.training import emodb
from sentio.core import runs, weights
from sentio.core.bench import report

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "voice.json"
ORDER = [EXPRESSIONS.index(name) for name in emodb.EMOTIONS]
TRIALS = 300
"""Windows with speech, and as many without, for the speech scores of a fold."""


# --- speakers not trained on


class Torch:
    """A trained Method with the interface of the embedded model, so that the same stream can be scored."""

    detector = None

    def __init__(self, method):
        self.method, self.threshold = method, method.config.threshold

    def score(self, windows):
        module = self.method.graphs()[0].module.eval()
        with torch.no_grad():
            return voice.VoiceScores(*(part.numpy() for part in module(torch.from_numpy(windows))))


def folds(folder: Path, settings: list[str]) -> None:
    names = voices.speakers(folder)
    parts = [fold(folder, names[k : k + 2], settings) for k in range(0, len(names), 2)]
    true, logits, streamed, trials = (np.concatenate(part) for part in zip(*(p[1:] for p in parts), strict=True))
    figures = {"folds": {p[0]: recall(p[2].argmax(1), p[1]) for p in parts}, "utterances": len(true)}
    for name, found in (("whole", logits.argmax(1)), ("stream", streamed.argmax(1))):
        recalls = emodb.recalls(found, true)
        table = np.zeros((7, 7), int)
        np.add.at(table, (true, found), 1)
        figures[name] = {
            "uar": round(float(recalls.mean()), 3),
            "accuracy": round(float(np.mean(found == true)), 3),
            "recall": dict(zip(emodb.EMOTIONS, recalls.round(3).tolist(), strict=True)),
            "confusion (rows: true)": [" ".join(f"{n:3d}" for n in row) for row in table],
        }
    figures |= {"calibration": calibration(logits, true), "place": place(logits, true), "speech": detection(trials)}
    report("voice folds", figures)


def fold(folder: Path, held_out: tuple[str, ...], settings: list[str]):
    """Name, labels (N,), logits (N, 7), mean probabilities in the stream (N, 7), speech trials (M, 2)."""
    quoted = ", ".join(f'"{name}"' for name in held_out)
    plan = runs.read(RECIPE, [*settings, f"data.held_out=[{quoted}]"])
    with tempfile.TemporaryDirectory() as out:
        method = weights.load(runs.train(plan, folder, Path(out))).eval()
    data = method.open_data(folder, plan.data)
    with torch.no_grad():
        logits = [
            method.hear(torch.from_numpy(emodb.padded(each.sound))[None]).emotion[0].numpy() for each in data.validation
        ]
        streamed = [stream(Torch(method), each.sound) for each in data.validation]
        trials = speech_trials(method, data.validation)
    true = np.array([each.emotion for each in data.validation])
    print(" ".join(held_out), recall(np.argmax(logits, 1), true), flush=True)
    return " ".join(held_out), true, np.array(logits), np.array(streamed), trials


def recall(found, true) -> float:
    return round(float(np.nanmean(emodb.recalls(found, true))), 3)


def stream(model, sound):
    """Mean probabilities where there is speech, of an utterance with half a second of silence at either side."""
    padded = np.pad(sound, voice.RATE // 2)
    rows = [
        row.expression for row in voice.VoiceTrack(model).push(AudioBlock(0.0, padded)) if row.expression is not None
    ]
    return np.mean(rows, axis=0)[ORDER] if rows else np.full(7, 1 / 7)


def speech_trials(method, utterances):
    """(2 * TRIALS, 2): whether somebody speaks in the last half second, and the probability of it."""
    windows = emodb.Windows(utterances, emodb.EmoDbConfig(seed=99), method.front)
    rng, rows = np.random.default_rng(7), []
    for k in range(2 * TRIALS):
        sound, _, cells = windows.draw(rng, k % windows.spoken if k % 2 else windows.spoken)
        said = cells[-RECENT:].sum()
        if said != 1:  # one cell of twelve is neither
            rows.append((said > 1, method.hear(torch.from_numpy(sound)[None]).speech.sigmoid().item()))
    return np.array(rows, float)


def calibration(logits, true):
    """The temperature of least cross-entropy, and that with and without it."""

    def loss(temperature):
        return -log_softmax(logits / temperature, 1)[np.arange(len(true)), true].mean()

    best = minimize_scalar(loss, bounds=(0.3, 5), method="bounded").x
    figures = {"temperature": best, "cross-entropy before": loss(1.0), "after": loss(best)}
    return {name: round(float(value), 3) for name, value in figures.items()}


def place(logits, true):
    """Correlation of valence and arousal with the table's, at temperature 1."""
    places = np.array([emodb.PLACES[name] for name in emodb.EMOTIONS])
    found = np.exp(log_softmax(logits, 1)) @ places
    return {
        name: round(float(np.corrcoef(found[:, k], places[true, k])[0, 1]), 3)
        for k, name in enumerate(("valence", "arousal"))
    }


def detection(trials):
    """Area under the curve, and at each threshold the shares of missed speech and of false alarms."""
    spoken, chance = trials[:, 0] == 1, trials[:, 1]
    ranks = rankdata(chance)
    n, m = spoken.sum(), (~spoken).sum()
    figures = {"auc": round(float((ranks[spoken].sum() - n * (n + 1) / 2) / (n * m)), 4), "trials": f"{n} + {m}"}
    for threshold in (0.3, 0.5, 0.7):
        missed, false = np.mean(chance[spoken] < threshold), np.mean(chance[~spoken] >= threshold)
        figures[f"at {threshold}"] = f"missed {missed:.3f}, false {false:.3f}"
    return figures


# --- real sound


def sounds(files: list[Path], silero: Path | None) -> None:
    """A line for each file, and for sounds made here: share of speech, mean answers where there is speech."""
    model = voice.VoiceModel()
    gated = model.gated(f"silero:{silero}") if silero else None
    print("| sound | seconds | speech | Silero | agree | valence | arousal | expression |")
    print("|---" * 8 + "|")
    totals = []
    for name, sound in [*((path.name, waveform(path)) for path in files), *made()]:
        rows = voice.VoiceTrack(model).push(AudioBlock(0.0, sound))
        mine = np.array([row.valence is not None for row in rows])
        cells = ["-", "-"]
        if gated:
            theirs = np.array([row.valence is not None for row in voice.VoiceTrack(gated).push(AudioBlock(0.0, sound))])
            totals.append((mine, theirs))
            cells = [f"{theirs.mean():.2f}", f"{np.mean(mine == theirs):.2f}"]
        print(f"| {name} | {len(sound) / voice.RATE:.1f} | {mine.mean():.2f} | {' | '.join(cells)} | {summary(rows)} |")
    if totals:
        mine, theirs = (np.concatenate(part) for part in zip(*totals, strict=True))
        both, only, other, none = (np.sum(mine & theirs), np.sum(mine & ~theirs), np.sum(~mine & theirs), 0)
        none = np.sum(~mine & ~theirs)
        print(
            f"\nmoments: {len(mine)}; speech in both {both}, in neither {none}, here alone {only}, Silero alone {other}"
        )


def waveform(path: Path):
    with open_media(path) as media:
        return media.waveform()[0]


def made():
    """Sounds without speech."""
    rng, samples = np.random.default_rng(0), 6 * voice.RATE
    white, pink, music = rng.standard_normal(samples), coloured(samples, rng), chords(samples, rng)
    yield "digital silence", np.zeros(samples, np.float32)
    for name, sound in (("white noise", white), ("coloured noise", pink), ("chords", music)):
        yield name, (0.05 * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


def summary(rows) -> str:
    spoken = [row for row in rows if row.expression is not None]
    if not spoken:
        return " |  | "
    chances = np.mean([row.expression for row in spoken], axis=0)
    best = ", ".join(f"{EXPRESSIONS[k]} {chances[k]:.2f}" for k in np.argsort(-chances)[:3])
    valence, arousal = (np.mean([getattr(row, name) for row in spoken]) for name in ("valence", "arousal"))
    return f"{valence:+.2f} | {arousal:+.2f} | {best}"


# --- speed


def speed() -> None:
    model, sound = (
        voice.VoiceModel(),
        np.random.default_rng(0).standard_normal(30 * voice.RATE).astype(np.float32) / 20,
    )
    blocks = [AudioBlock(float(k), sound[k * voice.RATE : (k + 1) * voice.RATE]) for k in range(30)]
    track, start = voice.VoiceTrack(model), time.process_time()
    rows = sum(len(track.push(block)) for block in blocks)
    spent = time.process_time() - start
    report("voice speed", {"moments": rows, "ms_per_second_of_sound": round(1e3 * spent / 30, 2)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("folds")
    verb.add_argument("folder", type=Path)
    verb.add_argument("settings", nargs="*")
    verb = verbs.add_parser("sounds")
    verb.add_argument("files", type=Path, nargs="+")
    verb.add_argument("--silero", type=Path)
    verbs.add_parser("speed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.verb == "folds":
        folds(options.folder, options.settings)
    elif options.verb == "sounds":
        sounds(options.files, options.silero)
    else:
        speed()


if __name__ == "__main__":
    main()
