"""Sentio's own face detector, learnt from rendered heads (`sentio.affect.models.detector`), through ONNX Runtime."""

from sentio.affect.faces.grid import GridDetector


class Studio(GridDetector):
    """The detector that comes with the package; anchor-free, one thread.

    Raises:
        WeightsError: the package's file is damaged.
    """

    def __init__(self) -> None:
        super().__init__("studio", "detector")
