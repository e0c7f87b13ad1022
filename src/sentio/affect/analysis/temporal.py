"""A person's face over time: what exported temporal models read in the features that a face network left.

A model over time was taught at `FRAME_RATE` frames a second, and that is what it is shown, whatever the rate of the
pictures: the clock gives every face a slot, slots without a face are empty, and what is asked for between two slots
lies between their answers. A track is made for each person, and a new one when somebody was out of sight for longer
than the model bridges.

Each call of a graph is of one person and of one size, so that an answer rests on the faces and their times alone.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, inf
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sentio.affect.heard import ANSWERS
from sentio.affect.labels import EXPRESSIONS, FRAME_RATE
from sentio.affect.table import AU_COLUMNS, P_COLUMNS
from sentio.core import weights
from sentio.core.errors import WeightsError

TIE = 1e-6
"""In slots: a time in the middle between two belongs to the later one, also where it is rounded down."""
BRIDGED_S = 2.0
"""Seconds without a face that are bridged where the card does not tell; a longer gap begins a new track."""
OUTPUTS = {"valence_arousal": ("valence", "arousal"), "expression": P_COLUMNS, "action_units": AU_COLUMNS}
"""The columns that each output of a temporal model stands for."""
LONGEST = 100_000
"""Most slots of a window, an hour of them: a card that asks for more would fill the memory."""
INPUTS = ("features", "valid", "time_s")
HEARD = ("voice", "heard")
"""Further inputs of one that hears: `answers` of the voice, zeros where it is not the person's, and where it is."""
STATE, NEXT = "state_", "next_"
"""What the names of a state begin with where it goes in, and where it comes out; it begins as zeros."""

Arrays = dict[str, NDArray[Any]]


class Clock:
    """A person's time in slots, `FRAME_RATE` of them a second, counted from the first face."""

    def __init__(self, start_s: float) -> None:
        self.start_s = start_s

    def position(self, time_s: float) -> float:
        """A time in slots."""
        return (time_s - self.start_s) * FRAME_RATE

    def slot(self, time_s: float) -> int:
        """The slot that a time belongs to, the nearest one."""
        return floor(self.position(time_s) + 0.5 + TIE)


class Graph(Protocol):
    """What a track needs of a model, be it a session of ONNX Runtime or a module of torch."""

    names: tuple[str, ...]
    """Of its answers, among `OUTPUTS`."""
    length: int
    """Slots of a window; 0 of a causal model."""
    hop: int
    """Slots from one window to the next."""
    dim: int
    """D, the numbers of a face's features."""
    hears: bool
    """Whether the voice of the person is one of its inputs."""

    def start(self) -> Arrays:
        """The state before the first face, by the names of the inputs."""

    def run(self, inputs: Arrays) -> Arrays:
        """All outputs for all inputs, by name."""


@dataclass(frozen=True)
class Moment:
    """What is decided of one frame that a track was pushed.

    Attributes:
        time_s: of the frame.
        values: by output, (n,) each; None where the person has no face, and none is bridged.
    """

    time_s: float
    values: Arrays | None


class Track(Protocol):
    """One person's time: every frame is pushed, also those without the face, and comes back in order."""

    seen_s: float
    """When the face was last seen."""

    def push(
        self, time_s: float, features: NDArray[np.float32] | None, voice: NDArray[np.float32] | None = None
    ) -> list[Moment]:
        """Take the next frame; gives those that are decided by now.

        Args:
            time_s: of the frame.
            features: (D,) of the face; None without a face.
            voice: (V,) of the person, if one is heard; without a face it is not.
        """

    def flush(self) -> list[Moment]:
        """The frames that are held back."""


class CausalTrack:
    """Decides every frame at once, from its face and a state; a frame without a face has no answer.

    Of several faces in one slot only the first is remembered: memories are counted in slots.
    """

    def __init__(self, graph: Graph, start_s: float) -> None:
        self.seen_s = start_s
        self._graph, self._clock = graph, Clock(start_s)
        self._state, self._slot = graph.start(), -1

    def push(
        self, time_s: float, features: NDArray[np.float32] | None, voice: NDArray[np.float32] | None = None
    ) -> list[Moment]:
        if features is None:
            return [Moment(time_s, None)]
        self.seen_s = time_s
        inputs: Arrays = {
            "features": features[None],  # (D,) -> (1, D)
            "valid": np.ones(1, np.bool_),
            "time_s": np.array([time_s - self._clock.start_s]),
        }
        if self._graph.hears:
            inputs |= heard_inputs([voice])
        found = self._graph.run(inputs | self._state)
        slot = self._clock.slot(time_s)
        if slot > self._slot:
            self._slot = slot
            self._state = {name: found[NEXT + name.removeprefix(STATE)] for name in self._state}
        return [Moment(time_s, {name: found[name][0] for name in self._graph.names})]

    def flush(self) -> list[Moment]:
        return []


@dataclass(frozen=True)
class _Face:
    """What was seen and heard in a slot: distance of its time from the slot's, features (D,), voice (V,)."""

    off: float
    features: NDArray[np.float32]
    voice: NDArray[np.float32] | None


def heard_inputs(voices: Sequence[NDArray[np.float32] | None]) -> Arrays:
    """The inputs `HEARD` of frames, (T, V) and (T,), from their voices, None where none is heard."""
    nothing = np.zeros(ANSWERS, np.float32)
    heard = [voice is not None for voice in voices]
    return {"voice": np.stack([nothing if voice is None else voice for voice in voices]), "heard": np.array(heard)}


class OfflineTrack:
    """Decides a frame when every window that shows it was read, and bridges the gaps between two faces.

    Windows follow each other by a hop, the last one ends with the last face, and where they overlap the answer is
    their mean. So a frame waits for one window at most, and the features of two windows are kept.
    """

    def __init__(self, graph: Graph, start_s: float) -> None:
        self.seen_s = start_s
        self._graph, self._clock = graph, Clock(start_s)
        self._faces: dict[int, _Face] = {}  # by slot
        self._sums: dict[int, tuple[Arrays, int]] = {}  # by slot: sum of the answers, and their number
        self._final = 0  # slots before this one have all their answers
        self._waiting: deque[float] = deque()  # times of frames

    def push(
        self, time_s: float, features: NDArray[np.float32] | None, voice: NDArray[np.float32] | None = None
    ) -> list[Moment]:
        now = self._clock.slot(time_s)
        while now >= self._final + self._graph.length:
            self._read(self._final)
            self._final += self._graph.hop
        if features is not None:
            self.seen_s = time_s
            off = abs(self._clock.position(time_s) - now)
            if now not in self._faces or off < self._faces[now].off:
                self._faces[now] = _Face(off, features, voice)
        self._waiting.append(time_s)
        moments = self._decided(self._final - 1)
        self._forget()
        return moments

    def flush(self) -> list[Moment]:
        last = max(self._faces)
        if last >= self._final:
            self._read(max(0, last + 1 - self._graph.length))
        moments = self._decided(last, ends=True) + [Moment(time_s, None) for time_s in self._waiting]
        self._waiting.clear()
        return moments

    def _read(self, first: int) -> None:
        """Show the window from a slot on, and add up what is said of the slots that are not final."""
        length = self._graph.length
        features = np.zeros((1, length, self._graph.dim), np.float32)
        valid = np.zeros((1, length), np.bool_)
        voices: list[NDArray[np.float32] | None] = [None] * length
        for slot, face in self._faces.items():
            if first <= slot < first + length:
                features[0, slot - first], valid[0, slot - first] = face.features, True
                voices[slot - first] = face.voice
        inputs: Arrays = {"features": features, "valid": valid, "time_s": np.arange(length)[None] / FRAME_RATE}
        if self._graph.hears:
            inputs |= {name: value[None] for name, value in heard_inputs(voices).items()}
        found = self._graph.run(inputs)
        for slot in range(max(first, self._final), first + length):
            sums, count = self._sums.get(slot, ({}, 0))
            here = {name: sums.get(name, 0) + found[name][0, slot - first] for name in self._graph.names}
            self._sums[slot] = here, count + 1

    def _decided(self, last: int, *, ends: bool = False) -> list[Moment]:
        """The frames from the front on, up to the newest face, whose slots are final, which ``last`` is the last of.

        Args:
            ends: there are no more slots; what lies behind the last one has its answer.
        """
        moments = []
        while self._waiting and self._waiting[0] <= self.seen_s:
            position = self._clock.position(self._waiting[0])
            before, after = floor(position), ceil(position)
            if after > last and not ends:
                break
            earlier, later = self._mean(min(before, last)), self._mean(min(after, last))
            share = np.float32(position - before)
            values = {name: earlier[name] + share * (later[name] - earlier[name]) for name in earlier}
            moments.append(Moment(self._waiting.popleft(), values))
        return moments

    def _mean(self, slot: int) -> Arrays:
        sums, count = self._sums[slot]
        return {name: value / np.float32(count) for name, value in sums.items()}

    def _forget(self) -> None:
        """Drop the faces of which no window to come can tell, and the answers that no frame waits for."""
        oldest = self._final - self._graph.length
        self._faces = {slot: face for slot, face in self._faces.items() if slot >= oldest}
        asked = floor(self._clock.position(self._waiting[0])) if self._waiting else self._final
        self._sums = {slot: sums for slot, sums in self._sums.items() if slot >= min(asked, self._final)}


class OverTime(Protocol):
    """A model over time: of a card, or of a run."""

    is_causal: bool
    hears: bool
    """Whether its tracks want the voice that is credited to a person."""
    bridge_s: float
    """Longest gap without a face that is bridged, in seconds."""

    def describe(self) -> dict[str, Any]:
        """For the header of a table."""

    def of_file(self, path: Path) -> "OverTime":
        """The same for one file, of which it may know more than is pushed."""

    def track(self, start_s: float) -> Track:
        """A track for a person whose face is seen from this time on."""


class TemporalModel:
    """An exported temporal model; a `Graph`, and what a table says of it.

    Args:
        name: of a card, or the path of one. Its inputs are `INPUTS`, for a causal model of one frame, (1, D), with the
            state's besides; else of windows, (1, T, D); those of a model that hears are `HEARD`, too. Its outputs are
            any of `OUTPUTS` for every frame, and the state's.

    Attributes:
        hears: whether it reads the voice of the person, too.

    Raises:
        WeightsError: missing, damaged, or another kind of model.
    """

    def __init__(self, name: str) -> None:
        self.card = weights.card(name)
        if not is_temporal(self.card):
            raise self._refusal("it reads no features over time")
        self.names = tuple(output for output in OUTPUTS if output in self.card.outputs)
        self.hears = set(HEARD) <= self.card.inputs.keys()
        self._shown = (*INPUTS, *HEARD) if self.hears else INPUTS
        states = {key.removeprefix(STATE) for key in self.card.inputs.keys() - set(self._shown)}
        if not self.names or states != {key.removeprefix(NEXT) for key in self.card.outputs if key.startswith(NEXT)}:
            raise self._refusal("its outputs are none of those, or its state does not come out as it went in")
        self.is_causal = bool(states)
        self.dim = int(self.card.inputs["features"][-1])
        self.length = 0 if self.is_causal else int(self._detail("length", 0))
        self.hop = int(self._detail("hop", 0))
        self.bridge_s = self._detail("bridge_s", BRIDGED_S)
        if not self.is_causal and not 0 < self.hop <= self.length <= LONGEST:
            raise self._refusal("the details name no length and hop of its windows")
        self._session = weights.session(name)
        kinds = {node.name: KINDS.get(node.type) for node in self._session.get_inputs()}
        if any(kinds[key] != SHOWN[key] for key in self._shown) or None in kinds.values():
            raise self._refusal(f"its inputs are of the kinds {kinds}")
        if self.hears and self.card.inputs["voice"][-1] != ANSWERS:
            raise self._refusal(f"a voice has {ANSWERS} numbers")
        self._start = {
            key: np.zeros([int(size) for size in self.card.inputs[key]], kinds[key])
            for key in kinds
            if key not in self._shown
        }

    def describe(self) -> dict[str, Any]:
        """For the header: name, hash, whether it is causal, by how many seconds a row may be late, what is bridged."""
        return {
            "name": self.card.name,
            "sha256": self.card.files["onnx"].sha256,
            **self.card.details,
            "causal": self.is_causal,
            "delay_s": round(self.length / FRAME_RATE, 3),
            "bridge_s": 0.0 if self.is_causal else self.bridge_s,
            **({"hears": "voice"} if self.hears else {}),
        }

    def of_file(self, path: Path) -> "TemporalModel":
        return self

    def track(self, start_s: float) -> Track:
        """A track for a person whose face is seen from this time on."""
        return CausalTrack(self, start_s) if self.is_causal else OfflineTrack(self, start_s)

    def start(self) -> Arrays:
        return self._start

    def run(self, inputs: Arrays) -> Arrays:
        names = [node.name for node in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, inputs), strict=True))

    def _detail(self, name: str, usual: float) -> float:
        """A number that the card tells."""
        found = self.card.details.get(name, usual)
        if not isinstance(found, int | float) or not 0 <= found < inf:
            raise self._refusal(f"the detail {name} is {found!r}")
        return float(found)

    def _refusal(self, what: str) -> WeightsError:
        return WeightsError(
            f"The weights {self.card.name!r} are no model over time: {what}.",
            f"Export a model from {', '.join(INPUTS)} to any of {', '.join(OUTPUTS)}.",
        )


KINDS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(bool)": np.bool_, "tensor(int64)": np.int64}
"""ONNX Runtime's names of types."""
SHOWN = {"features": np.float32, "valid": np.bool_, "time_s": np.float64, "voice": np.float32, "heard": np.bool_}
"""Of the inputs that are no state."""


def is_temporal(card: weights.Card) -> bool:
    """Whether it is of a model over time, and not of one that reads pictures."""
    return set(INPUTS) <= card.inputs.keys()


def columns_of(values: Arrays) -> dict[str, Any]:
    """Answers of one moment, by output, as values by the names of the table's columns; without what is not known."""
    columns: dict[str, Any] = {}
    for name, value in values.items():
        columns |= {key: number for key, number in zip(OUTPUTS[name], value.tolist(), strict=True) if number == number}
    if "expression" in values:
        columns["expression"] = EXPRESSIONS[int(values["expression"].argmax())]
    return columns
