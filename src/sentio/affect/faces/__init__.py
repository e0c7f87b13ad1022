"""Faces in a video: detect, follow, align, judge. `FaceTracker` joins them."""

from sentio.affect.faces.alignment import align
from sentio.affect.faces.detection import Box, Detection, Detector, default_detector, default_name
from sentio.affect.faces.haar import Haar
from sentio.affect.faces.quality import Pose, Quality, Reason
from sentio.affect.faces.studio import Studio
from sentio.affect.faces.tracking import FaceFrame, FaceTracker, TrackedFace, TrackingConfig
from sentio.affect.faces.yunet import YuNet

__all__ = [
    "Box",
    "Detection",
    "Detector",
    "FaceFrame",
    "FaceTracker",
    "Haar",
    "Pose",
    "Quality",
    "Reason",
    "Studio",
    "TrackedFace",
    "TrackingConfig",
    "YuNet",
    "align",
    "default_detector",
    "default_name",
]
