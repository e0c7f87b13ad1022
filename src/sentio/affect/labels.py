"""The one place for the orders, names, ranges and invalid values of Aff-Wild2, the ABAW challenges and LSD.

In memory a missing label is never a number that could be taken for one: valence and arousal are NaN, an
expression or an action unit is -1. The annotation files write -5 for valence and arousal, -1 for the others.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

VALENCE_AROUSAL = ("valence", "arousal")
VALENCE_AROUSAL_RANGE = (-1.0, 1.0)

EXPRESSIONS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
"""The eight classes, ids 0 to 7, from ABAW3 on."""
EXPRESSIONS_ABAW2 = EXPRESSIONS[:7]
"""ABAW1 and ABAW2 have no Other; the ids are the same."""
EXPRESSIONS_LSD = EXPRESSIONS[1:7]
"""Learning from Synthetic Data (ABAW4) has neither Neutral nor Other; its own ids are 0 to 5, one less."""

ACTION_UNITS = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU15", "AU23", "AU24", "AU25", "AU26")
ACTION_UNITS_ABAW1 = ("AU1", "AU2", "AU4", "AU6", "AU12", "AU15", "AU20", "AU25")
"""AU20 has no place among the twelve."""
FURTHER_UNITS = ("AU5", "AU9", "AU14", "AU17", "AU20", "AU45")
"""What the face model reads besides the twelve; AU45 is the blink."""
ALL_UNITS = (*ACTION_UNITS, *FURTHER_UNITS)
UNITS_BY_NUMBER = tuple(sorted(ALL_UNITS, key=lambda unit: int(unit.removeprefix("AU"))))
"""All of them as people look for them."""
UNIT_COLUMNS = {unit: f"au_{unit.removeprefix('AU')}" for unit in ALL_UNITS}
"""What the column of each is called in a table."""

TASKS = {"valence_arousal": len(VALENCE_AROUSAL), "expression": len(EXPRESSIONS), "action_units": len(ACTION_UNITS)}
"""The three tasks, and the numbers that a prediction of each has."""

Source = Literal["va", "expr", "au", "mtl", "lsd"]
SOURCES: tuple[Source, ...] = get_args(Source)
"""The label sets, which are the challenges' tracks, too; a sample's source is an index into this tuple."""
SET_TASKS: dict[Source, tuple[str, ...]] = {
    "va": ("valence_arousal",),
    "expr": ("expression",),
    "au": ("action_units",),
    "mtl": tuple(TASKS),
    "lsd": ("expression",),
}
"""What each set labels."""

FILE_INVALID_VALENCE_AROUSAL = -5.0
FILE_INVALID = -1
"""How the files write a missing expression or action unit; in memory it is the same."""

FRAME_RATE = 30.0
"""Frames per second that the label files leave unsaid and the published systems assume."""
SAMPLE_RATE = 16_000
"""Samples per second of all sound."""


def lsd_to_expression(ids: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """LSD's ids 0 to 5 as ids of the eight classes (1 to 6); missing stays missing."""
    return np.where(np.asarray(ids) == FILE_INVALID, FILE_INVALID, np.asarray(ids, dtype=np.int64) + 1)


def expression_to_lsd(ids: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Ids of the eight classes as LSD's; Neutral, Other and missing become missing."""
    ids = np.asarray(ids, dtype=np.int64)
    return np.where((ids >= 1) & (ids <= len(EXPRESSIONS_LSD)), ids - 1, FILE_INVALID)


def valid_valence_arousal(values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """(..., 2) values -> (...) mask: both within [-1, 1]. Either one missing drops the frame."""
    values = np.asarray(values)
    low, high = VALENCE_AROUSAL_RANGE
    return np.asarray(((values >= low) & (values <= high)).all(axis=-1))  # NaN compares false


def valid_expression(ids: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """(...) ids -> (...) mask: 0 to 7."""
    ids = np.asarray(ids)
    return np.asarray((ids >= 0) & (ids < len(EXPRESSIONS)))


def valid_action_units(values: NDArray[np.number[Any]]) -> NDArray[np.bool_]:
    """(..., 12) values -> (..., 12) mask: each 0 or 1. The official metric needs all twelve of a frame."""
    values = np.asarray(values)
    return np.asarray((values == 0) | (values == 1))


VALID: dict[str, Callable[[NDArray[Any]], NDArray[np.bool_]]] = {
    "valence_arousal": valid_valence_arousal,
    "expression": valid_expression,
    "action_units": valid_action_units,
}
"""The three kinds of label, and what tells which of their values are there."""
