"""Who speaks: how often the right one of two people side by side is named, and what is said of one person alone.

    python bench/speaking.py VIDEOS... [--half 0|1] [--films 0] [--units] [--alone FILE...]

VIDEOS are films of one person each who speaks, with sound, and equal frame rate. Each is read once, alone; then
everyone is laid beside the next three, with the sound of the one, and with that of a third who is not in view (a voice
from off the screen). ``--films N`` makes N of the pairs as real films, two pictures side by side, and reads those from
the start. ``--half`` takes every other video, so that constants are chosen on half 0 and measured on half 1.
``--units`` takes the strengths of AU25 and AU26 for the opening of the mouth, in place of the lips' landmarks.

A moment counts as spoken where the sound is above -20 dB of its loudest twentieth, within 0.1 s, and the voice model
hears speech there or within the next quarter of a second. Somebody is named where ``speaking`` is 0.5 or more. A
person is quiet if her own sound had no speech for a second, though her face moves; else her lips speak words that are
not heard.
"""

import argparse
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from sentio.affect.analysis.models import open_models
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import analyze
from sentio.affect.analysis.speaking import Speakers, mouth_opening
from sentio.affect.analysis.voice import HOP_S, VoiceScore, VoiceTrack
from sentio.affect.media import SAMPLE_RATE, AudioBlock, open_media
from sentio.affect.table import X_COLUMNS, Y_COLUMNS
from sentio.core.bench import report

NAMED, STRICT = 0.5, 0.8
LOUD_DB, NEAR_S = -20, 0.1


@dataclass
class Film:
    """A film of one person."""

    path: Path
    times_s: np.ndarray  # (N,) of its frames
    mouths: list[float | None]  # (N,)
    speaking: np.ndarray  # (N,) as the table has it, NaN for null
    scores: list[VoiceScore]
    spoken: np.ndarray  # (N,) bool


def read(path: Path, units: bool) -> Film:
    rows = analyze(path, options=Options(landmarks=True)).arrow.to_pylist()
    rows = [row for row in rows if row["person"] in (0, None)]
    with open_media(path) as media:
        sound, origin_s = media.waveform()
    scores = VoiceTrack(open_models("face").voice).push(AudioBlock(origin_s, sound))
    times_s = np.array([row["time_s"] for row in rows])
    mouths = [None if row["x_0"] is None else opening(row, units) for row in rows]
    speaking = np.array([row["speaking"] for row in rows], float)
    return Film(path, times_s, mouths, speaking, scores, spoken(times_s, sound, origin_s, scores))


def opening(row, units: bool) -> float:
    if units:
        return row["au_25_intensity"] + row["au_26_intensity"]
    points = np.array([[row[x], row[y]] for x, y in zip(X_COLUMNS, Y_COLUMNS, strict=True)])
    return mouth_opening(points)


def spoken(times_s, sound, origin_s: float, scores: list[VoiceScore]) -> np.ndarray:
    """(N,) whether the voice is heard at each time."""
    cell = SAMPLE_RATE // 100
    cells = sound[: len(sound) // cell * cell].reshape(-1, cell)
    level = 10 * np.log10(np.square(cells, dtype=np.float64).mean(1) + 1e-12)
    loud_s = origin_s + (np.flatnonzero(level > np.percentile(level, 95) + LOUD_DB) + 0.5) / 100
    speech_s = np.array([score.time_s for score in scores if score.speech >= NAMED])
    loud = [(np.abs(loud_s - t) < NEAR_S).any() for t in times_s]
    speech = [((speech_s >= t) & (speech_s < t + HOP_S + 0.05)).any() for t in times_s]
    return np.array(loud) & np.array(speech)


def side_by_side(films: list[Film], scores: list[VoiceScore]) -> np.ndarray:
    """(N, P) what is said of each at each frame of the first; NaN for null."""
    speakers, waiting, rows = Speakers(), list(scores), []
    for k, time_s in enumerate(films[0].times_s):
        while waiting and waiting[0].time_s <= time_s:
            speakers.hear(waiting.pop(0))
        seen = {p: film.mouths[k] for p, film in enumerate(films) if k < len(film.mouths)}
        said = speakers.push(time_s, {p: mouth for p, mouth in seen.items() if mouth is not None})
        rows.append([said.get(p, np.nan) for p in range(len(films))])
    return np.array(rows)


def pairs(films: list[Film]) -> dict[str, object]:
    """Shares of frames over all pairs; those spoken begin where both have been in view for a second."""
    parts: dict[str, list[np.ndarray]] = {}
    for i, own in enumerate(films):
        for step in (1, 2, 3):
            other, third = films[(i + step) % len(films)], films[(i + step + 4) % len(films)]
            n = min(len(film.times_s) for film in (own, other, third))
            late = own.times_s[:n] >= own.times_s[0] + 1
            said = np.nan_to_num(side_by_side([own, other], own.scores)[:n])
            off = np.nan_to_num(side_by_side([own, other], third.scores)[:n])
            own_speaks, other_speaks = lately(own)[:n], lately(other)[:n]
            parts.setdefault("one voice, all", []).append(said[own.spoken[:n] & late])
            parts.setdefault("one voice, the other quiet", []).append(said[own.spoken[:n] & late & ~other_speaks])
            parts.setdefault("one voice, the other's lips speak too", []).append(
                said[own.spoken[:n] & late & other_speaks]
            )
            parts.setdefault("no voice for a second", []).append(said[~own_speaks & late])
            quiet = ~own_speaks & ~other_speaks
            parts.setdefault("voice off screen, both quiet", []).append(off[third.spoken[:n] & late & quiet])
            parts.setdefault("voice off screen, lips of one or both speak", []).append(
                off[third.spoken[:n] & late & ~quiet]
            )
    return {name: shares(np.concatenate(part)) for name, part in parts.items()}


def lately(film: Film) -> np.ndarray:
    """(N,) whether there was speech in the second before each frame."""
    spoken_s = film.times_s[film.spoken]
    return np.array([((spoken_s > t - 1) & (spoken_s <= t)).any() for t in film.times_s])


def shares(said: np.ndarray) -> dict[str, float | int]:
    """Of (N, 2) frames, the first being the one whose voice it is."""
    return {
        "frames": len(said),
        "first is higher": share(said[:, 0] > said[:, 1]),
        "first named": share(said[:, 0] >= NAMED),
        "second named": share(said[:, 1] >= NAMED),
        "nobody named": share((said < NAMED).all(1)),
    }


def share(mask: np.ndarray) -> float:
    return round(float(mask.mean()), 3) if len(mask) else float("nan")


def credited(films: list[Film]) -> dict[str, object]:
    """Shares of the frames with speech in which the voice is credited to the only face in view, by several rules.

    The voice is that person's own, or that of another who is not in view.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for i, own in enumerate(films):
        stranger = films[(i + 5) % len(films)]
        n, quiet = min(len(own.times_s), len(stranger.times_s)), ~lately(own)
        mine, other = (side_by_side([own], film.scores)[:n, 0] for film in (own, stranger))
        own_speech, other_speech = (speech(own.times_s[:n], film.scores) for film in (own, stranger))
        parts.setdefault("own voice", []).append(mine[own_speech])
        parts.setdefault("a voice off the screen, quiet face", []).append(other[other_speech & quiet[:n]])
        parts.setdefault("a voice off the screen, lips speak", []).append(other[other_speech & ~quiet[:n]])
    found = {name: np.concatenate(part) for name, part in parts.items()}
    return {
        name: {
            "frames": len(said),
            **{f"speaking >= {least}": share(said >= least) for least in (NAMED, STRICT)},
            **{f"or null, or >= {least}": share(~(said < least)) for least in (0.1, 0.2, 0.3, NAMED)},
        }
        for name, said in found.items()
    }


def speech(times_s, scores: list[VoiceScore]) -> np.ndarray:
    """(N,) whether the newest score hears speech."""
    return np.array([any(s.time_s <= t < s.time_s + HOP_S and s.speech >= NAMED for s in scores) for t in times_s])


def alone(film: Film) -> dict[str, float]:
    """Of one person with her own voice: how often she is named while she speaks, and while she does not."""
    said, heard = np.nan_to_num(film.speaking), speech(film.times_s, film.scores)
    return {
        "named while speaking": share(said[film.spoken] >= NAMED),
        "speech heard then": share(heard[film.spoken]),
        "named otherwise": share(said[~film.spoken] >= NAMED),
        **{f"credited with speech, >= {least}": share(said[heard] >= least) for least in (NAMED, STRICT)},
    }


def film_pair(left: Film, right: Film, folder: Path) -> dict[str, object]:
    """A real film of both with the sound of the left one, read from the start."""
    path = folder / "pair.mkv"
    write_pair(left.path, right.path, path)
    table = analyze(path)
    place = table["face_x"]
    middle = np.nanmax(place) / 2 + np.nanmin(place) / 2
    said = np.zeros((len(left.times_s), 2))
    for frame, x, value in zip(table["frame"].astype(int), place, np.nan_to_num(table["speaking"]), strict=True):
        if np.isfinite(x) and frame < len(said):
            said[frame, int(x > middle)] = value
    late = left.times_s >= left.times_s[0] + 1
    return {"left": left.path.stem, "right": right.path.stem, **shares(said[left.spoken & late])}


def write_pair(left: Path, right: Path, out: Path) -> None:
    with open_media(left) as a, open_media(right) as b:
        frames = [(x.time_s, np.concatenate([x.image, y.image], 1)) for x, y in zip(a, b, strict=False)]
        sound, origin_s = a.waveform()
    write_film(out, frames, sound, origin_s, crf=18)


def write_film(
    out: Path, frames: list[tuple[float, np.ndarray]], sound: np.ndarray, origin_s: float, *, crf: int
) -> None:
    """RGB pictures at their times in seconds, with sound of which the first sample is at ``origin_s``."""
    with av.open(str(out), "w") as file:
        video = file.add_stream("libx264", rate=25, options={"crf": str(crf)})
        audio = file.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        video.height, video.width = frames[0][1].shape[:2]
        video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for time_s, image in frames:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            file.mux(video.encode(frame))
        block = av.AudioFrame.from_ndarray((np.clip(sound, -1, 1)[None] * 32_767).astype(np.int16), layout="mono")
        block.sample_rate, block.pts, block.time_base = (
            SAMPLE_RATE,
            round(origin_s * SAMPLE_RATE),
            Fraction(1, SAMPLE_RATE),
        )
        file.mux([*video.encode(None), *audio.encode(block), *audio.encode(None)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--films", type=int, default=0)
    parser.add_argument("--units", action="store_true")
    parser.add_argument("--alone", nargs="*", type=Path, default=[])
    options = parser.parse_args()
    paths = sorted(options.videos) if options.half is None else sorted(options.videos)[options.half :: 2]
    films = [read(path, options.units) for path in paths]
    figures: dict[str, object] = {"videos": len(films)}
    if len(films) > 7:
        figures["pairs"], figures["one face in view"] = pairs(films), credited(films)
    with tempfile.TemporaryDirectory() as folder:
        twos = zip(films[::2], films[1::2], strict=False)
        figures["films"] = [film_pair(*two, Path(folder)) for two in list(twos)[: options.films]]
    figures["alone"] = {path.name: alone(read(path, False)) for path in options.alone}
    report("speaking", figures)


if __name__ == "__main__":
    main()
