"""Who speaks: the movement of each mouth in view against the loudness of the sound.

Over the last second of sound, for each person in view: how well the opening of the mouth follows the loudness
(correlation, at the best of a few delays), and how much the mouth moves (standard deviation). Both together are the
person's evidence; nobody, that is a voice from off the screen, has the evidence 0. The probability that somebody
speaks is shared among them all by a softmax. Only what was seen and heard before is used, so that a file, a stream and
a live session give the same, and nothing waits. All constants are ours [CHOSEN]; ``bench/speaking.py`` measures them.
"""

from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sentio.affect.analysis.voice import CELL_S, HOP_S, VoiceScore
from sentio.affect.heard import STALE_S

WINDOW_S = 1.0
"""Seconds of sound that are compared: four or five syllables. Less tells less; more comes later and tells no more."""
DELAYS_S = tuple(CELL_S * k for k in range(5))
"""Seconds by which the sound may come after the picture: viewers hardly notice up to 125 ms (ITU-R BT.1359)."""
LEAST_S = 0.5
"""Seconds that somebody must have been in view before anything is said of her."""
GAP_S = 0.25
"""Seconds without a sight of the mouth after which its history begins anew; syllables are shorter than what is lost."""
AGREEMENT, MOVEMENT = 6.0, 1.5
"""Weights of the correlation and of the logarithm of the movement. More of the first names the right one of two who
both move their lips a little more often, less of it those whose lips are read badly: these, rounded, lose few."""
STILL, FLOOR = 0.02, 0.005
"""Movement from which on a mouth speaks for itself, between a rest and the mouths of real speech, and what the
landmarks tremble by themselves; in distances between the eyes."""
SPEAKS = 0.5
"""Probability from which on somebody counts as the one who speaks: it is more than that of all others together."""
_KEPT_S = WINDOW_S + max(DELAYS_S) + 2 * HOP_S

Floats = NDArray[np.float64]
_UPPER, _LOWER, _RIGHT_EYE, _LEFT_EYE = [50, 51, 52], [58, 57, 56], slice(36, 42), slice(42, 48)


def mouth_opening(points: NDArray[np.floating]) -> float:
    """Mean height of the mouth, from edge to edge of the lips, in distances between the eyes' middles.

    Args:
        points: (68, 2) landmarks of Multi-PIE in any units.
    """
    points = points.astype(np.float64)
    eyes = np.linalg.norm(points[_LEFT_EYE].mean(0) - points[_RIGHT_EYE].mean(0))
    heights = np.linalg.norm(points[_UPPER] - points[_LOWER], axis=1)  # (3,)
    return float(heights.mean() / max(eyes, 1e-6))


def agreement(times_s: Floats, openings: Floats, centres_s: Floats, loudness: Floats) -> tuple[float, float]:
    """How well a mouth follows the sound, and how much it moves.

    Args:
        times_s: (N,) rising, when the mouth was seen.
        openings: (N,) of the mouth; between and beyond the times it is interpolated, and held.
        centres_s: (C,) times of the cells of sound.
        loudness: (C,) of the cells.

    Returns:
        The highest correlation over `DELAYS_S`, in [-1, 1], 0 where either does not change; and the standard
        deviation of the openings at the cells.
    """
    moments = centres_s - np.array(DELAYS_S)[:, None]  # (D, C)
    mouths = np.interp(moments, times_s, openings)
    mouths -= mouths.mean(1, keepdims=True)
    sound = loudness - loudness.mean()
    spreads = np.sqrt((mouths**2).sum(1) * (sound**2).sum())  # (D,)
    follows = np.divide((mouths * sound).sum(1), spreads, out=np.zeros(len(spreads)), where=spreads > 1e-9)
    moves = np.interp(centres_s, times_s, openings).std()
    return float(follows.max()), float(moves)


def evidence(follows: float, moves: float) -> float:
    """That a person speaks rather than nobody in view, as a logit."""
    return AGREEMENT * follows + MOVEMENT * float(np.log((moves + FLOOR) / STILL))


class Speakers:
    """Who of those in view speaks, moment by moment, in memory bounded by the persons in view.

    The order of calls is that of time: `hear` every score up to a frame's time, then `push` the frame.
    """

    def __init__(self) -> None:
        self._sound: deque[VoiceScore] = deque(maxlen=round(WINDOW_S / HOP_S))
        self._mouths: dict[int, deque[tuple[float, float]]] = {}

    def hear(self, score: VoiceScore) -> None:
        """Take the next score of the voice; behind a gap the sound begins anew."""
        if self._sound and abs(score.time_s - self._sound[-1].time_s - HOP_S) > CELL_S / 2:
            self._sound.clear()
        self._sound.append(score)

    def push(self, time_s: float, mouths: Mapping[int, float]) -> dict[int, float]:
        """Take the next frame, and tell who speaks.

        Args:
            time_s: of the frame.
            mouths: `mouth_opening` of those seen in it, by person.

        Returns:
            The probability that this person speaks, by person; together they are no more than the probability of
            speech. Without those who have been in view for less than `LEAST_S`; nobody without sound.
        """
        self._see(time_s, mouths)
        if not self._sound or time_s >= self._sound[-1].time_s + STALE_S:
            return {}
        found = {person: self._evidence(person) for person in sorted(mouths)}
        logits = {person: logit for person, logit in found.items() if logit is not None}
        top = max(0.0, *logits.values()) if logits else 0.0
        shares = {person: float(np.exp(logit - top)) for person, logit in logits.items()}
        whole = sum(shares.values()) + float(np.exp(-top))
        return {person: self._sound[-1].speech * share / whole for person, share in shares.items()}

    def _see(self, time_s: float, mouths: Mapping[int, float]) -> None:
        for person, seen in list(self._mouths.items()):
            if time_s - seen[-1][0] > GAP_S:
                del self._mouths[person]
        for person, opening in mouths.items():
            seen = self._mouths.setdefault(person, deque())
            seen.append((time_s, opening))
            while time_s - seen[0][0] > _KEPT_S:
                seen.popleft()

    def _evidence(self, person: int) -> float | None:
        """That of somebody, None while too little is known."""
        times_s, openings = np.array(self._mouths[person]).T  # (N,) each
        loudness = np.concatenate([score.loudness for score in self._sound])  # (C,)
        centres_s = self._sound[-1].time_s - CELL_S * (np.arange(len(loudness))[::-1] + 0.5)
        seen = centres_s >= times_s[0]
        if seen.sum() * CELL_S < LEAST_S:
            return None
        return evidence(*agreement(times_s, openings, centres_s[seen], loudness[seen]))
