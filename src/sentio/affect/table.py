"""The result table of affect: one row per decoded frame and person, the same from file, stream and evaluation."""

from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.core.results import Column, Schema

P_COLUMNS = tuple(f"p_{name.lower()}" for name in EXPRESSIONS)
AU_COLUMNS = tuple(f"au_{name.removeprefix('AU')}" for name in ACTION_UNITS)

SCORES = (
    Column("valence", "float32", "-1 to 1", "how pleasant a viewer would rate the state of the face, -1 to 1"),
    Column("arousal", "float32", "-1 to 1", "how active a viewer would rate the state of the face, -1 to 1"),
    Column("expression", "string", "", "the most probable of the eight expressions"),
    *(
        Column(column, "float32", "probability", f"probability of {name}")
        for column, name in zip(P_COLUMNS, EXPRESSIONS, strict=True)
    ),
    *(
        Column(column, "float32", "probability", f"probability that action unit {name} is seen")
        for column, name in zip(AU_COLUMNS, ACTION_UNITS, strict=True)
    ),
)
"""What the face model fills in for every face, fit or not; null where there was none, or no model ran."""

OF_THE_FILE = "; of the file, not of this person: the same in all rows of a time"
VOICE = (
    Column("speech", "float32", "probability", f"probability that somebody speaks{OF_THE_FILE}; null without sound"),
    Column("voice_valence", "float32", "-1 to 1", f"how pleasant the voice sounds{OF_THE_FILE}; null without speech"),
    Column("voice_arousal", "float32", "-1 to 1", f"how active the voice sounds{OF_THE_FILE}; null without speech"),
    Column("voice_expression", "string", "", f"what the voice expresses{OF_THE_FILE}; null without speech"),
)
"""What the voice model fills in, also in rows without a face."""

AFFECT = Schema(
    "sentio.affect",
    2,
    (
        Column("file", "string", "", "name of the media file"),
        Column("person", "int32", "", "stable number of the person within the file, from 0; null without a face"),
        Column("frame", "int64", "", "number of the decoded frame within the file, from 0; null in a file of sound"),
        Column("time_s", "float64", "s", "time stamp of the frame as the container gives it"),
        Column("face_x", "float32", "px", "left edge of the face box in the upright picture"),
        Column("face_y", "float32", "px", "upper edge of the face box"),
        Column("face_w", "float32", "px", "width of the face box"),
        Column("face_h", "float32", "px", "height of the face box"),
        Column("face_score", "float32", "0 to 1", "the detector's certainty"),
        Column("quality", "float32", "0 to 1", "how usable the face is, from size, sharpness, pose and score"),
        Column("reason", "string", "", "why a row has no usable face; null where it has one"),
        *SCORES,
        *VOICE,
    ),
)
