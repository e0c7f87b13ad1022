"""The result table of affect: one row per decoded frame and person, the same from file, stream and evaluation."""

from sentio.affect.labels import ACTION_UNITS, ALL_UNITS, EXPRESSIONS, FURTHER_UNITS, UNIT_COLUMNS
from sentio.core.results import Column, Schema

POSE_COLUMNS = ("pose_yaw", "pose_pitch", "pose_roll")
P_COLUMNS = tuple(f"p_{name.lower()}" for name in EXPRESSIONS)
AU_COLUMNS = tuple(UNIT_COLUMNS[name] for name in ACTION_UNITS)
FURTHER_COLUMNS = tuple(UNIT_COLUMNS[name] for name in FURTHER_UNITS)
INTENSITY_COLUMNS = tuple(f"{name}_intensity" for name in (*AU_COLUMNS, *FURTHER_COLUMNS))
X_COLUMNS, Y_COLUMNS = (tuple(f"{axis}_{k}" for k in range(68)) for axis in "xy")

BOUNDED = ("valence", "arousal")
"""The columns that have an interval."""
BOUND_COLUMNS = tuple(f"{name}_{end}" for name in BOUNDED for end in ("lo", "hi"))

_POSE = (
    "head turned to the person's left (the viewer's right)",
    "head turned down",
    "head leaning to the person's right shoulder (counter-clockwise in the picture)",
)
SCORES = (
    *(Column(name, "float32", "degrees", about) for name, about in zip(POSE_COLUMNS, _POSE, strict=True)),
    Column("valence", "float32", "-1 to 1", "how pleasant a viewer would rate the state of the face, -1 to 1"),
    Column("arousal", "float32", "-1 to 1", "how active a viewer would rate the state of the face, -1 to 1"),
    Column("expression", "string", "", "the most probable of the eight expressions"),
    *(
        Column(column, "float32", "probability", f"probability of {name}")
        for column, name in zip(P_COLUMNS, EXPRESSIONS, strict=True)
    ),
    *(
        Column(column, "float32", "probability", f"probability that action unit {name} is seen")
        for column, name in zip((*AU_COLUMNS, *FURTHER_COLUMNS), ALL_UNITS, strict=True)
    ),
    *(
        Column(column, "float32", "0 to 1", f"strength of action unit {name}: 0 at rest, 1 a strong movement")
        for column, name in zip(INTENSITY_COLUMNS, ALL_UNITS, strict=True)
    ),
    *(
        Column(name, "float32", "-1 to 1", f"{end} of the interval of {name[:-3]}; its coverage stands in the header")
        for name, end in zip(BOUND_COLUMNS, ("lower end", "upper end") * len(BOUNDED), strict=True)
    ),
)
"""What the face model fills in for every face, fit or not; null where there was none, or no model that tells."""

OF_THE_FILE = "; of the file, not of this person: the same in all rows of a time"
VOICE = (
    Column("speech", "float32", "probability", f"probability that somebody speaks{OF_THE_FILE}; null without sound"),
    Column("voice_valence", "float32", "-1 to 1", f"how pleasant the voice sounds{OF_THE_FILE}; null without speech"),
    Column("voice_arousal", "float32", "-1 to 1", f"how active the voice sounds{OF_THE_FILE}; null without speech"),
    Column("voice_expression", "string", "", f"what the voice expresses{OF_THE_FILE}; null without speech"),
)
"""What the voice model fills in, also in rows without a face."""

FACE_AND_VOICE = (
    Column(
        "modality",
        "string",
        "",
        "what tells an affect in this row: face, voice, both, none; the voice does where speech is heard. With a model "
        "over time that hears, both means that the scores of the face rest on the voice, too, as it is this person's",
    ),
    Column(
        "speaking",
        "float32",
        "probability",
        "probability that this person speaks; null without sound, and until the mouth was seen for a while",
    ),
)
"""What follows from both together."""

WHERE = (
    Column("file", "string", "", "name of the media file"),
    Column("person", "int32", "", "stable number of the person within the file, from 0; null where nobody is seen"),
    Column("frame", "int64", "", "number of the decoded frame within the file, from 0; null in a file of sound"),
    Column("time_s", "float64", "s", "time stamp of the frame as the container gives it"),
)
"""What a row is about."""

POINTS = tuple(
    Column(name, "float32", "px", f"{side} of landmark {k} of 68 in the upright picture, from its first pixel's centre")
    for side, names in (("right", X_COLUMNS), ("down", Y_COLUMNS))
    for k, name in enumerate(names)
)
"""The landmarks of a face, in the order of Multi-PIE (jaw, brows, nose, eyes, mouth); all x, then all y."""

AFFECT = Schema(
    "sentio.affect",
    5,
    (
        *WHERE,
        Column("face_x", "float32", "px", "left edge of the face box in the upright picture"),
        Column("face_y", "float32", "px", "upper edge of the face box"),
        Column("face_w", "float32", "px", "width of the face box"),
        Column("face_h", "float32", "px", "height of the face box"),
        Column("face_score", "float32", "0 to 1", "the detector's certainty"),
        Column("quality", "float32", "0 to 1", "how usable the face is, from size, sharpness, pose and score"),
        Column("reason", "string", "", "why a row has no usable face; null where it has one"),
        *SCORES,
        *VOICE,
        *FACE_AND_VOICE,
    ),
)
AFFECT_AND_POINTS = Schema(AFFECT.name, AFFECT.version, (*AFFECT.columns, *POINTS))
"""The table in memory, if landmarks are asked for."""
LANDMARKS = Schema("sentio.landmarks", 1, (*WHERE, *POINTS))
"""The landmarks in a file of their own: its rows are those of the table, in the same order."""
