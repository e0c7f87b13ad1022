"""One face followed from frame to frame: where it will be, what it looks like."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sentio.affect.faces.appearance import Appearance, blend, distance
from sentio.affect.faces.detection import Box, Detection, Image

VELOCITY_S, APPEARANCE_S = 0.1, 0.5
"""Time constants of the running means, in seconds."""
HORIZON_S = 0.5
"""Beyond this a constant velocity foretells nothing."""
CROPPED_COUNTS = 0.334
"""Share of a sighting that a face cropped by the border counts."""


@dataclass(frozen=True)
class Sighting:
    """A detection with what is measured on it."""

    detection: Detection
    crop: Image
    appearance: Appearance
    whole: bool


@dataclass
class Track:
    """A face followed from frame to frame; ``person`` is None until it is confirmed.

    ``appearance`` is a mean over the sightings not cropped by the border, of which there is one if ``whole``.
    """

    last: Sighting
    born_s: float
    seen_s: float
    appearance: Appearance
    person: int | None = None
    sightings: float = 0.0
    whole: bool = False
    missed: bool = False
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def predict(self, time_s: float) -> Box:
        """Box at a time: moved on at constant velocity, for a while."""
        x, y, width, height = self.last.detection.box
        dx, dy = self.velocity * min(time_s - self.seen_s, HORIZON_S)
        return x + float(dx), y + float(dy), width, height

    def distance(self, sighting: Sighting) -> float:
        """Appearance distance to the mean or to the last sighting, whichever is nearer."""
        return min(distance(sighting.appearance, known) for known in (self.appearance, self.last.appearance))

    def take(self, sighting: Sighting, time_s: float) -> None:
        """Add a sighting; velocity and appearance are exponential means over time."""
        elapsed = time_s - self.seen_s
        if elapsed > 0:
            share = 1 - np.exp(-elapsed / VELOCITY_S)
            self.velocity += share * (
                (centre(sighting.detection.box) - centre(self.last.detection.box)) / elapsed - self.velocity
            )
        if sighting.whole:  # what the border crops looks like nobody
            share = 1 - np.exp(-elapsed / APPEARANCE_S) if self.whole else 1.0
            self.appearance = blend(self.appearance, sighting.appearance, share)
            self.whole = True
        self.last, self.seen_s, self.missed = sighting, time_s, False
        self.sightings += 1 if sighting.whole else CROPPED_COUNTS


def centre(box: Box) -> NDArray[np.float64]:
    """Middle of a box, (2,)."""
    x, y, width, height = box
    return np.array([x + width / 2, y + height / 2])
