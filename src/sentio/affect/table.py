"""The result table of affect: one row per decoded frame and person, the same from file, stream and evaluation."""

from sentio.affect.labels import ACTION_UNITS, EXPRESSIONS
from sentio.core.results import Column, Schema

SCORES = (
    Column("valence", "float32", "-1 to 1", "how pleasant a viewer would rate the state, -1 to 1"),
    Column("arousal", "float32", "-1 to 1", "how active a viewer would rate the state, -1 to 1"),
    Column("expression", "string", "", "the most probable of the eight expressions"),
    *(Column(f"p_{name.lower()}", "float32", "probability", f"probability of {name}") for name in EXPRESSIONS),
    *(
        Column(
            f"au_{name.removeprefix('AU')}", "float32", "probability", f"probability that action unit {name} is seen"
        )
        for name in ACTION_UNITS
    ),
)
"""What a model fills in; null where none ran or there was no usable face."""

AFFECT = Schema(
    "sentio.affect",
    1,
    (
        Column("file", "string", "", "name of the media file"),
        Column("person", "int32", "", "stable number of the person within the file, from 0; null without a face"),
        Column("frame", "int64", "", "number of the decoded frame within the file, from 0"),
        Column("time_s", "float64", "s", "time stamp of the frame as the container gives it"),
        Column("face_x", "float32", "px", "left edge of the face box in the upright picture"),
        Column("face_y", "float32", "px", "upper edge of the face box"),
        Column("face_w", "float32", "px", "width of the face box"),
        Column("face_h", "float32", "px", "height of the face box"),
        Column("face_score", "float32", "0 to 1", "the detector's certainty"),
        Column("quality", "float32", "0 to 1", "how usable the face is, from size, sharpness, pose and score"),
        Column("reason", "string", "", "why a row has no usable face; null where it has one"),
        *SCORES,
    ),
)
