"""YuNet face detector (Wu et al., "YuNet: a tiny millisecond-level face detector", 2023) through ONNX Runtime.

OpenCV's own reader refuses the file with free image size; with the size fixed it gives the same boxes, scores and
landmarks and takes two and a half times as long.
"""

from sentio.affect.faces.grid import GridDetector


class YuNet(GridDetector):
    """Anchor-free detector for faces from about 10 pixels up; one thread.

    Raises:
        WeightsError: the weights have not been fetched, or are damaged.
    """

    def __init__(self) -> None:
        super().__init__("yunet", "yunet")
