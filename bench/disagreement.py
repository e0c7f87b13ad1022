"""What wins where face and voice disagree: rendered faces of one emotion that speak with the voice of another.

    python bench/disagreement.py make CLIPS --rigs ICT-FACEKIT,MPFB --voices EMODB [--seed 7]
    python bench/disagreement.py read CLIPS [--models face,offline]

`make` films a person of each rig with each of six expressions and each of six voices of EMO-DB's last quarter of
actors, FACE-VOICE-N.mp4, three seconds each: under each face the same person says the same sentence, and the lips
follow the voice that is heard. `read` analyzes them with each model and counts the frames from the second second on in
which speech is heard: the share whose expression is that of the face, that of the voice, or another, and the means of
valence and arousal. What the voice model alone makes of the sound stands last.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import analyze
from sentio.affect.synth import acting, appearance, layout, rigs, scene, voice
from sentio.affect.synth.dataset import FPS, FRAME
from sentio.affect.synth.render import Camera
from sentio.affect.synth.rig import Rig

EMOTIONS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness")
SECONDS, BEGUN_S = 3.0, 1.0
"""Of a clip, and until the expression has come."""
SCALE = 6.0
"""Pixels a centimetre."""
KINDS = {"valence": ("Happiness",), "arousal": ("Anger", "Fear", "Happiness")}
"""The expressions that are high in either."""
ASKED = {
    ("valence", True, False): "valence, only the face happy",
    ("valence", False, True): "only the voice",
    ("arousal", True, True): "arousal, face and voice stirred",
    ("arousal", True, False): "only the face",
    ("arousal", False, True): "only the voice",
    ("arousal", False, False): "neither",
}
"""Columns, and whether face and voice are of their kinds."""
Row = dict[str, Any]


def make(out: Path, folders: list[Path], voices: Path, seed: int) -> None:
    """Film all pairs; clips that are there are left."""
    actors = voice.speakers(voices)
    known = voice.utterances(voices, actors[len(actors) * 3 // 4 :])
    for number, folder in enumerate(folders):
        for heard in EMOTIONS:
            track = utterance(heard, known, np.random.default_rng((seed, number, EMOTIONS.index(heard))))
            for shown in EMOTIONS:
                path = out / f"{shown}-{heard}-{number}.mp4"
                if not path.is_file():
                    film(path, rigs.load(folder), shown, track, (seed, number))


def utterance(heard: str, known: dict[str, list[Path]], random: np.random.Generator) -> voice.Track:
    """Somebody says something in that emotion; the studio's actors now and then say nothing."""
    while not (track := voice.speak([heard], SECONDS, FPS, known, random)).said:
        pass
    return track


def film(path: Path, rig: Rig, shown: str, track: voice.Track, seed: tuple[int, int]) -> None:
    """One clip; the person and the place rest on the seed alone."""
    random = np.random.default_rng(seed)
    person, place = appearance.draw(rig, random), scene.draw(random)
    acts = acting.perform([shown], SECONDS, FPS, track.energy, random)
    camera = Camera(90.0, np.array([[SCALE, 0, FRAME[1] / 2], [0, SCALE, FRAME[0] * 0.46]]))

    def picture(face: acting.Face, turn: Any) -> Any:
        mesh, _ = person.mesh(face.weights, face.gaze, appearance.rotation(*turn))
        shot = scene.photograph(person, mesh, place, camera, FRAME, random, scale=0.5)
        return np.ascontiguousarray(shot[..., ::-1])

    pictures = (picture(*moment) for moment in zip(acts.faces, acts.turns, strict=True))
    layout.write_media(path, pictures, track.sound, FPS, 1_000_000)


def read(clips: Path, models: list[str]) -> None:
    """Print a line a model, and one of the voice alone."""
    paths = sorted(clips.glob("*-*-*.mp4"))
    print(f"{len(paths)} clips; shares of frames with speech, and means\n")
    columns = ("model", "the same: that", "differ: the face's", "the voice's", "another", *ASKED.values())
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for model in models:
        rows = {path: found for path in paths if (found := spoken(path, model))}
        print(line(f"`{model}`", rows), flush=True)
    print(line("the voice alone", rows, "voice_"))


def spoken(path: Path, model: str) -> list[Row]:
    """The rows of a clip in which the face is seen and speech is heard."""
    rows = analyze(path, options=Options(model=model)).arrow.to_pylist()
    return [row for row in rows if row["time_s"] >= BEGUN_S and row["voice_expression"] and row["expression"]]


def line(name: str, tables: dict[Path, list[Row]], before: str = "") -> str:
    """A row of the table; each clip counts as much as any other.

    Args:
        before: what the names of the columns begin with.
    """
    same: list[float] = []
    differ: list[list[float]] = []
    means: dict[tuple[str, bool, bool], list[float]] = {}
    for path, rows in tables.items():
        face, heard, _ = path.stem.split("-")
        shares = [np.mean([row[f"{before}expression"] == emotion for row in rows]) for emotion in (face, heard)]
        if face == heard:
            same.append(shares[0])
        else:
            differ.append([*shares, 1 - sum(shares)])
        for column, kind in KINDS.items():
            mean = np.mean([row[before + column] for row in rows])
            means.setdefault((column, face in kind, heard in kind), []).append(mean)
    numbers = [f"{np.mean(same):.2f}", *(f"{share:.2f}" for share in np.mean(differ, axis=0))]
    numbers += [f"{np.mean(means[column, face, heard]):+.2f}" for column, face, heard in ASKED]
    return f"| {name} | {' | '.join(numbers)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("make", "read"))
    parser.add_argument("clips", type=Path)
    parser.add_argument("--rigs", default="")
    parser.add_argument("--voices", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--models", default="face,offline")
    given = parser.parse_args()
    if given.verb == "make":
        make(given.clips, [Path(rig) for rig in given.rigs.split(",")], given.voices, given.seed)
    else:
        read(given.clips, given.models.split(","))


if __name__ == "__main__":
    main()
