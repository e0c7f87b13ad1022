"""Follow faces through a video: one stable id for each person, online, from images and their times alone.

Every frame, each known face is sought again by the detector in a small window at its predicted place, where it always
has the same size; that costs little and gives fresh landmarks. The whole frame is searched (`search`): at two scales
at intervals and where a shot begins, which a single picture does; at the finer one while nobody is in sight and when a
face was not found again. What is found is measured in a window too. Found and known faces are matched by the Hungarian
method on box overlap and appearance (as in DeepSORT, Wojke et al. 2017), with a lower score to go on than to begin (as
in ByteTrack, Zhang et al. 2022). A face becomes a person after some sightings, and is then compared with the persons
not in sight, to give back an id. A shot too short for so many (pictures of a slide show), and the last frames, keep the
faces they have.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sentio.affect.faces.alignment import align, apply, invert, warp
from sentio.affect.faces.appearance import Appearance, describe, distance
from sentio.affect.faces.detection import (
    Box,
    Detection,
    Detector,
    Image,
    Landmarks,
    overlap,
    suppress,
    without_parts,
)
from sentio.affect.faces.detectors import open_detector
from sentio.affect.faces.quality import CROPPED, Quality, Reason, assess, outside
from sentio.affect.faces.scene import CUT, SHOT, Scene
from sentio.affect.faces.search import SAME, search
from sentio.affect.faces.track import Sighting, Track, centre
from sentio.core.errors import InputError

WINDOW = 160
"""Side of the window in which a face is sought again, in pixels; the face fills half of it."""
NARROW = 0.2
"""The least width of a face in it, in windows: profiles are half as wide as high."""
APPEARANCES, NEW_APPEARANCE = 5, 0.45
"""A person is remembered by up to five appearances (poses, expressions) at least this far apart."""
DENIED = 1e6


@dataclass(frozen=True)
class TrackingConfig:
    """Attributes:
    search_side: the whole frame is searched on a copy reduced to this long side.
    search_interval_s: seconds between two searches of the whole frame while all is well.
    smallest: narrower faces are left out, in full-frame pixels.
    start_score: detection score that a face needs until it is a person.
    keep_score: detection score that a person's face needs.
    sightings: frames in a row that make a new face a person; one cropped by the border counts a third.
    lookahead: hold frames back until their new faces are decided, so that a person's first frames count: two frames
        for a new face, eight while the border crops it, none at other times. Without it every frame is decided at
        once and a new face is left out until it is a person.
    lost_s: seconds during which a face out of sight is still sought at its predicted place.
    reach: how far from the predicted place a face may be, in box sizes; grows by as much again every second.
    same: appearance distance up to which a face after a cut, or a new face, is a person seen before.
    memory: persons remembered; beyond, those longest out of sight are forgotten.
    """

    search_side: int = 384
    search_interval_s: float = 0.2
    smallest: float = 16.0
    start_score: float = 0.7
    keep_score: float = 0.4
    sightings: int = 3
    lookahead: bool = True
    lost_s: float = 1.0
    reach: float = 0.8
    same: float = 0.57
    memory: int = 256


@dataclass(frozen=True)
class TrackedFace:
    """One person's face in one frame.

    Attributes:
        person: id, 0, 1, ... in order of appearance.
        box: in full-frame pixels.
        score: detection score, [0, 1].
        landmarks: (5, 2) in full-frame pixels.
        quality: fitness, with the reason when the face is no use.
        crop: aligned, uint8 (112, 112, 3) RGB; beyond its border the frame is reflected.
    """

    person: int
    box: Box
    score: float
    landmarks: Landmarks
    quality: Quality
    crop: Image


@dataclass(frozen=True)
class FaceFrame:
    """The faces of one frame.

    Attributes:
        index: counts the calls of `FaceTracker.push` from 0.
        time_s: of the frame.
        size: of the frame, (height, width) in pixels.
        faces: in order of person.
        cut: a new shot begins with it, for sure.
    """

    index: int
    time_s: float
    size: tuple[int, int]
    faces: tuple[TrackedFace, ...]
    cut: bool = False

    @property
    def reason(self) -> Reason:
        """`Reason.NO_FACE` when there is none, else empty: each face has its own."""
        return Reason.NONE if self.faces else Reason.NO_FACE


@dataclass
class Person:
    """What is remembered of somebody: up to `APPEARANCES` appearances, and the time of the last sighting."""

    appearances: list[Appearance]
    seen_s: float


@dataclass
class Pending:
    """A frame whose new faces are not all decided."""

    index: int
    time_s: float
    size: tuple[int, int]
    seen: list[tuple[Track, Sighting]]
    cut: bool


class FaceTracker:
    """Faces and ids, frame by frame; see the module's text. Memory does not grow with the length of the video.

    Args:
        detector: any `Detector`; by default YuNet if it is there, else the package's own.
        config: see `TrackingConfig`.
    """

    def __init__(self, detector: Detector | None = None, config: TrackingConfig | None = None) -> None:
        self.detector = detector or open_detector()
        self.config = config or TrackingConfig()
        self._tracks: list[Track] = []
        self._persons: dict[int, Person] = {}  # longest unseen first
        self._next_person = 0
        self._frames = 0
        self._shot = 0  # frames since the last cut
        self._searched_s = -np.inf
        self._time_s = -np.inf
        self._scene = Scene()
        self._cut = False
        self._pending: deque[Pending] = deque()

    def push(self, image: Image, time_s: float) -> list[FaceFrame]:
        """Take the next frame.

        Args:
            image: (H, W, 3) RGB uint8, of any size.
            time_s: its time, not before that of the last frame.

        Returns:
            The frames that are decided by now, in order: usually this one. With ``lookahead``, none while it has a
            new face, and those held back together with the frame that decides.

        Raises:
            InputError: time runs backwards, or this is no RGB image.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(f"A frame must be uint8 (height, width, 3), not {image.dtype} {image.shape}.")
        if not self._time_s <= time_s < np.inf:
            raise InputError(f"A frame at {time_s} s came after one at {self._time_s} s.")
        self._time_s = time_s
        gone = self.config.lost_s
        self._tracks = [t for t in self._tracks if not t.missed or time_s - t.seen_s <= gone]
        change = self._scene.change(image)
        self._cut = change > CUT
        if self._cut:
            if self.config.lookahead and self._shot < self.config.sightings:
                self._confirm(0)
            self._shot = 0
        self._shot += 1
        seen = self._match(self._sight(image, time_s), time_s)
        self._confirm(self.config.sightings)
        self._pending.append(Pending(self._frames, time_s, image.shape[:2], seen, change > SHOT))
        self._frames += 1
        return list(self._decided())

    def flush(self) -> list[FaceFrame]:
        """The frames still held back at the end; their new faces count, for nothing speaks against them."""
        self._confirm(0)
        return list(self._decided())

    def _sight(self, image: Image, time_s: float) -> list[Sighting]:
        """All faces in sight, each measured in a window of its own."""
        places = [track.predict(time_s) for track in self._tracks]
        visible = any(track.person is not None and not track.missed for track in self._tracks)
        lost = any(track.missed for track in self._tracks)
        faces: list[Detection] = []
        due = self._cut or time_s - self._searched_s >= self.config.search_interval_s
        if lost or not visible or due:
            self._searched_s = time_s if due else self._searched_s
            found = self._search(image, coarsely=due)
            shared = overlap(places, [face.box for face in found])
            is_new = shared.max(0, initial=0) <= 0.5
            faces += [seen for face, new in zip(found, is_new, strict=True) for seen in self._look(image, face, new)]
            places = [place for place, known in zip(places, shared.max(1, initial=0) > 0.5, strict=True) if not known]
        faces += [face for place in places for face in self._seek(image, place)]
        sightings = []
        for face in without_parts(suppress(faces, SAME)):
            crop = align(image, face.landmarks)
            whole = outside(face.landmarks, image.shape[:2]) <= CROPPED
            sightings.append(Sighting(face, crop, describe(crop), whole))
        return sightings

    def _search(self, image: Image, *, coarsely: bool) -> list[Detection]:
        """The faces in the whole frame."""
        smallest, side = self.config.smallest, self.config.search_side
        found = search(self.detector, image, side=side, smallest=smallest, coarsely=coarsely)
        return [face for face in found if face.score >= self.config.keep_score]

    def _look(self, image: Image, found: Detection, is_new: bool) -> list[Detection]:
        """Faces in the window around one that a search found; a new one's score is the mean of both views."""
        faces = self._seek(image, found.box)
        if not is_new:
            return faces
        shared = overlap([face.box for face in faces], [found.box])[:, 0]
        return [
            replace(face, score=(face.score + found.score) / 2) if share > SAME else face
            for face, share in zip(faces, shared, strict=True)
        ]

    def _seek(self, image: Image, place: Box) -> list[Detection]:
        """Faces in the window around a place, of about its size."""
        side = 2 * max(place[2:])
        scale = WINDOW / side
        left, top = (float(edge) for edge in centre(place) - side / 2)
        matrix = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
        back = invert(matrix)
        found = []
        for face in self.detector(warp(image, matrix, WINDOW), smallest=NARROW * WINDOW):
            if face.score >= self.config.keep_score and face.box[2] / scale >= self.config.smallest:
                x, y, width, height = face.box
                box = (x / scale + left, y / scale + top, width / scale, height / scale)
                found.append(Detection(box, face.score, apply(back, face.landmarks)))
        return found

    def _match(self, sightings: list[Sighting], time_s: float) -> list[tuple[Track, Sighting]]:
        """Give every sighting to its track; the others begin new ones, tentative tracks without one end."""
        cost = self._costs(sightings, time_s)
        pairs = zip(*linear_sum_assignment(cost), strict=True)
        matched = {row: column for row, column in pairs if cost[row, column] < DENIED}
        seen = []
        for row, track in enumerate(self._tracks):
            track.missed = row not in matched
            if not track.missed:
                track.take(sightings[matched[row]], time_s)
                seen.append((track, track.last))
        self._tracks = [track for track in self._tracks if track.person is not None or not track.missed]
        for column, sighting in enumerate(sightings):
            if column not in matched.values() and sighting.detection.score >= self.config.start_score:
                track = Track(sighting, time_s, time_s, sighting.appearance)
                track.take(sighting, time_s)
                self._tracks.append(track)
                seen.append((track, sighting))
        return seen

    def _costs(self, sightings: list[Sighting], time_s: float) -> NDArray[np.float64]:
        """(tracks, sightings): one minus overlap plus appearance distance, or `DENIED`."""
        places = [track.predict(time_s) for track in self._tracks]
        cost = 1 - overlap(places, [sighting.detection.box for sighting in sightings])
        for row, (track, place) in enumerate(zip(self._tracks, places, strict=True)):
            needed = self.config.start_score if track.person is None else self.config.keep_score
            reach = self.config.reach * (1 + time_s - track.seen_s) * max(place[2:])
            for column, sighting in enumerate(sightings):
                near = np.linalg.norm(centre(sighting.detection.box) - centre(place)) <= reach
                apart = track.distance(sighting)
                strange = self._cut and apart > self.config.same
                fits = near and not strange and sighting.detection.score >= needed
                cost[row, column] = cost[row, column] + apart if fits else DENIED
        return np.asarray(cost)

    def _confirm(self, sightings: float) -> None:
        """Make persons of the tracks that were seen often enough, and remember their appearance."""
        for track in list(self._tracks):
            if track.person is None and track.sightings >= sightings:
                track.person = self._identify(track)
                self._tracks = [t for t in self._tracks if t is track or t.person != track.person]
            if track.person is not None and not track.missed:
                person = self._persons.pop(track.person, None) or Person([], track.seen_s)
                if len(person.appearances) < APPEARANCES and all(
                    distance(track.appearance, known) > NEW_APPEARANCE for known in person.appearances
                ):
                    person.appearances.append(track.appearance)
                person.seen_s = track.seen_s
                self._persons[track.person] = person
        while len(self._persons) > self.config.memory:
            del self._persons[next(iter(self._persons))]

    def _identify(self, track: Track) -> int:
        """The person who looks like this and has not been in sight together with it, or a new one."""
        away = {
            number: min(distance(track.appearance, known) for known in person.appearances)
            for number, person in self._persons.items()
            if person.seen_s < track.born_s
        }
        nearest = min(away, key=lambda person: away[person], default=None)
        if nearest is not None and away[nearest] <= self.config.same:
            return nearest
        self._next_person += 1
        return self._next_person - 1

    def _decided(self) -> Iterable[FaceFrame]:
        """Frames from the front of the queue until one has a face that may still become a person."""
        open_tracks = {id(track) for track in self._tracks if track.person is None}
        while self._pending:
            frame = self._pending[0]
            if self.config.lookahead and any(id(track) in open_tracks for track, _ in frame.seen):
                return
            self._pending.popleft()
            persons = [(t.person, sighting) for t, sighting in frame.seen if t.person is not None]
            faces = sorted((_face(person, seen, frame.size) for person, seen in persons), key=lambda face: face.person)
            yield FaceFrame(frame.index, frame.time_s, frame.size, tuple(faces), frame.cut)


def _face(person: int, sighting: Sighting, size: tuple[int, int]) -> TrackedFace:
    found, crop = sighting.detection, sighting.crop
    quality = assess(crop, found.landmarks, found.score, size)
    return TrackedFace(person, found.box, found.score, found.landmarks, quality, crop)
