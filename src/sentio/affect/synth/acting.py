"""What faces do: single expressions, and performances of some seconds with onsets, talking, blinks, and exact labels.

Expressions are data, in assets/expressions.json. Of each: valence and arousal at the lowest and at the highest
intensity, and movements as [probability, least, most], at full intensity; of ``one_of`` one set is drawn by the number
before it. Labels are read off the movements themselves, so that they are right whatever was drawn.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.core.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Weights = dict[str, float]
Table = Mapping[str, Any]

VISIBLE = 0.3
"""A movement of at least this weight is labelled as present."""
LEAST_INTENSITY = 0.3
"""An expression weaker than this is labelled Neutral."""


@dataclass(frozen=True)
class Face:
    """One expression of a moment: weights by control, and its labels.

    ``expression`` is one of the eight classes; ``gaze`` in radians to the person's left and up.
    """

    weights: Weights
    gaze: tuple[float, float]
    expression: int
    valence: float
    arousal: float

    @property
    def action_units(self) -> Ints:
        """(12,) 0 or 1."""
        return action_units(self.weights)


@dataclass(frozen=True)
class Performance:
    """An expression for every frame of a video: T faces and turns of the head.

    Attributes:
        faces: T.
        turns: (T, 3) yaw, pitch, roll in radians, as appearance.rotation takes them.
    """

    faces: tuple[Face, ...]
    turns: Floats


@cache
def expressions(path: Path | None = None) -> Table:
    """The table of expressions: the package's own or an edited copy of it.

    Raises:
        InputError: it cannot be read, or an entry is incomplete.
    """
    place = path or resources.files("sentio") / "assets" / "expressions.json"
    try:
        found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{place} is no readable table of expressions: {error}.") from error
    for name, entry in found.items():
        if missing := {"valence", "arousal", "units", "one_of"} - set(entry):
            raise InputError(f"{place}: {name} has no {', '.join(sorted(missing))}.")
    return found


def controls(entry: Mapping[str, Any]) -> set[str]:
    """All movements that an entry of the table names."""
    return set(entry["units"]).union(*(units for _, units in entry["one_of"]))


def action_units(weights: Mapping[str, float]) -> Ints:
    """(12,) which of Aff-Wild2's action units can be seen: the stronger side counts. An open jaw parts the lips."""
    strength = [max(weights.get(f"{unit}{side}", 0.0) for side in ("", "_L", "_R")) for unit in ACTION_UNITS]
    lips, jaw = ACTION_UNITS.index("AU25"), ACTION_UNITS.index("AU26")
    strength[lips] = max(strength[lips], strength[jaw])
    return (np.array(strength) >= VISIBLE).astype(np.int64)


def draw(name: str, rng: np.random.Generator, table: Table | None = None, intensity: float | None = None) -> Face:
    """A face at random.

    Args:
        name: one of labels.EXPRESSIONS.
        table: see :func:`expressions`.
        intensity: 0 to 1; drawn if not given.
    """
    entry = (table or expressions())[name]
    strength = float(rng.uniform(0.4, 1.0)) if intensity is None else intensity
    weights = _drawn(entry["units"], strength, rng)
    if entry["one_of"]:
        shares = np.array([share for share, _ in entry["one_of"]])
        weights |= _drawn(entry["one_of"][rng.choice(len(shares), p=shares / shares.sum())][1], strength, rng)
    valence, arousal = (float(np.clip(np.interp(strength, [0.3, 1], entry[k]) + rng.normal(0, 0.06), -1, 1))
                        for k in ("valence", "arousal"))  # fmt: skip
    gaze = (float(rng.normal(0, 0.24)), float(np.clip(rng.normal(-0.02, 0.1), -0.35, 0.3)))
    return Face(_uneven(weights, rng), gaze, EXPRESSIONS.index(name), valence, arousal)


def _drawn(units: Mapping[str, list[float]], strength: float, rng: np.random.Generator) -> Weights:
    return {
        unit: float(rng.uniform(least, most)) * strength**0.7
        for unit, (probability, least, most) in units.items()
        if rng.random() < probability
    }


_SPEAKING = ("AU10", "AU16", "AU25", "AU26")
"""What opens the mouth of a Neutral in the table."""
_SIDED = ("AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU10", "AU12", "AU14", "AU15", "AU16", "AU20")


def _uneven(weights: Weights, rng: np.random.Generator) -> Weights:
    """Both sides of a face move together, but never quite alike."""
    result: Weights = {}
    for unit, weight in weights.items():
        if unit in _SIDED:
            lean = float(np.clip(rng.normal(0, 0.08), -0.25, 0.25))
            result[f"{unit}_L"] = result.get(f"{unit}_L", 0.0) + weight * (1 + lean)
            result[f"{unit}_R"] = result.get(f"{unit}_R", 0.0) + weight * (1 - lean)
        else:
            result[unit] = result.get(unit, 0.0) + weight
    return result


def blink(face: Face, amount: float) -> Face:
    """The same face with its lids shut by ``amount``."""
    return replace(face, weights=face.weights | {"blink": amount})


IDLE_P, IDLE_MOST = 0.15, 0.22
"""How likely each movement is stirred without meaning, and by how much at most: less than is labelled."""
SPEECH_P = 0.15
"""Share of single pictures that catch a person speaking."""


def enliven(face: Face, rng: np.random.Generator, table: Table | None = None) -> Face:
    """The same expression with small movements that mean nothing and, at times, a mouth that speaks.

    Class, valence and arousal stay; ``action_units`` follow the movements.
    """
    names = sorted(set().union(*map(controls, (table or expressions()).values())) - {"blink"})
    stirred = {name: float(rng.uniform(0, IDLE_MOST)) for name in names if rng.random() < IDLE_P}
    if rng.random() < SPEECH_P:
        spoken = {unit: float(course[0]) for unit, course in _talk(rng.uniform(0.1, 0.7, 1), rng).items()}
        stirred = {name: stirred.get(name, 0.0) + spoken.get(name, 0.0) for name in {**stirred, **spoken}}
    moved = _uneven(stirred, rng)
    weights = {name: face.weights.get(name, 0.0) + moved.get(name, 0.0) for name in {**face.weights, **moved}}
    return replace(face, weights=weights)


def perform(
    names: list[str], seconds: float, fps: float, energy: Floats, rng: np.random.Generator, table: Table | None = None
) -> Performance:
    """A performance in which the named expressions come and go one after the other.

    Args:
        names: expressions, in order; each gets about the same share of the time.
        energy: (T,) loudness of the person's voice in each frame, 0 to 1: it moves jaw and lips.

    Returns:
        T faces. The label of a frame is the expression that shows most, Neutral if none shows enough.
    """
    count = round(seconds * fps)
    acts = [_silent(draw(name, rng, table)) for name in names]
    felt = np.array([(act.valence, act.arousal) for act in acts])
    envelopes = _envelopes(len(acts), count, fps, rng)
    shut = _blinks(count, fps, rng)
    gaze = _glances(count, fps, rng)
    speech = _talk(energy[:count], rng)
    tremor = _wander(count, fps, 1.2, rng, 3) * 0.03
    faces = []
    for k in range(count):
        weights: Weights = {}
        for act, share in zip(acts, envelopes[:, k], strict=True):
            for unit, weight in act.weights.items():
                weights[unit] = weights.get(unit, 0.0) + weight * share * (1 + tremor[k, 0])
        for unit, course in speech.items():
            weights[unit] = weights.get(unit, 0.0) + float(course[k])
        weights["blink"] = min(weights.get("blink", 0.0) + float(shut[k]), 1.0)
        shown = int(envelopes[:, k].argmax())
        label = acts[shown].expression if envelopes[shown, k] >= LEAST_INTENSITY else 0
        valence, arousal = (float(x) for x in np.clip(envelopes[:, k] @ felt, -1, 1))
        faces.append(Face(weights, (float(gaze[k, 0]), float(gaze[k, 1])), label, valence, arousal))
    spread = np.array([0.16, 0.08, 0.06])
    turns = rng.normal(0, [0.2, 0.08, 0.05]) + _wander(count, fps, 1.6, rng, 3) * spread
    turns[:, 1] += 0.03 * np.resize(energy, count)  # heads nod while they speak
    return Performance(tuple(faces), turns)


def _silent(act: Face) -> Face:
    """A resting face with its mouth at rest: those of the table may catch a word, and a word lasts no act."""
    if act.expression != EXPRESSIONS.index("Neutral"):
        return act
    return replace(act, weights={name: w for name, w in act.weights.items() if name[:4] not in _SPEAKING})


def _envelopes(acts: int, count: int, fps: float, rng: np.random.Generator) -> Floats:
    """(acts, count) 0 to 1: rises in 0.25 to 1 s, stays with small changes, falls more slowly."""
    edges = np.linspace(0, count, acts + 1) + np.concatenate([[0], rng.normal(0, 0.05 * count / acts, acts - 1), [0]])
    time = np.arange(count)
    result = np.zeros((acts, count))
    for k in range(acts):
        onset, offset = rng.uniform(0.25, 1.0) * fps, rng.uniform(0.4, 1.4) * fps
        rest = rng.uniform(0, 0.12) * count / acts if acts > 1 else 0
        rise = _smoothstep((time - edges[k] - rest) / onset)
        fall = 1 - _smoothstep((time - edges[k + 1]) / offset)
        result[k] = rise * fall * (1 - 0.2 * rng.random() * (0.5 + 0.5 * np.sin(time / fps * rng.uniform(0.8, 2.5))))
    return result


def _smoothstep(x: Floats) -> Floats:
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def _blinks(count: int, fps: float, rng: np.random.Generator) -> Floats:
    """(count,) closure of the lids: about one blink in 3.5 s, 0.2 s long."""
    shut = np.zeros(count)
    time = np.arange(count) / fps
    moment = float(rng.exponential(2.0))
    while moment < count / fps:
        width = rng.uniform(0.05, 0.09)
        shut = np.maximum(shut, np.exp(-(((time - moment) / width) ** 2)))
        moment += 0.6 + float(rng.exponential(2.9))
    return shut


def _glances(count: int, fps: float, rng: np.random.Generator) -> Floats:
    """(count, 2) gaze that jumps and rests."""
    gaze = np.zeros((count, 2))
    start = 0
    while start < count:
        length = max(int(rng.exponential(1.5) * fps), 3)
        gaze[start : start + length] = rng.normal(0, [0.12, 0.06])
        start += length
    return gaze


def _wander(count: int, fps: float, period: float, rng: np.random.Generator, columns: int) -> Floats:
    """(count, columns) smooth random courses, about standard normal; ``period`` seconds between changes."""
    knots = rng.standard_normal((int(count / fps / period) + 4, columns))
    place = np.arange(count) / fps / period + 1
    i = place.astype(int)
    share = _smoothstep(place - i)[:, None]
    return np.asarray(knots[i] * (1 - share) + knots[i + 1] * share)


def _talk(energy: Floats, rng: np.random.Generator) -> dict[str, Floats]:
    """Jaw and lips of speech: opening follows loudness, shape changes with the syllables."""
    count = len(energy)
    vowels = np.clip(_wander(count, 30, 0.14, rng, 3), -1.5, 1.5)
    jaw = 0.6 * energy * (0.6 + 0.25 * vowels[:, 0])
    return {
        "AU26": np.clip(jaw, 0, 1),
        "AU25": np.clip(0.5 * energy, 0, 1),
        "AU18": np.clip(0.45 * energy * vowels[:, 1], 0, 1),
        "AU20": np.clip(0.3 * energy * vowels[:, 2], 0, 1),
    }
