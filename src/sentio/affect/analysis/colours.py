"""Colours of what is read, the same in every picture, page and film."""

from sentio.affect.labels import EXPRESSIONS

CURVES = {"valence": "#1763a6", "arousal": "#d1495b"}
"""Of lines on a light ground."""
CURVES_ON_DARK = {"valence": "#6cb2f0", "arousal": "#f28b98"}
"""Of lines on a dark ground."""
_CLASSES = ("#c3c9d0", "#d97a63", "#a3b35a", "#a58cc9", "#efc45a", "#7fa6cf", "#63bdb4", "#b5a595")
CLASSES = dict(zip(EXPRESSIONS, _CLASSES, strict=True))
"""Of the expressions, on any ground; what is written on them is dark."""
