"""Pictures and sound of a file, with the container's own time stamps and a report of what was damaged.

    with open_media("clip.mp4") as media:
        for frame in media:
            frame.time_s, frame.image
        print(media.damage)

One clock serves everything: `time_s`, `start` and `end` are seconds on the container's own time line, with its own
zero. The first picture may lie before or after it (MPEG programme streams often begin near 0.5 s), and sound and
pictures of one file share it. Nothing is computed as index / rate, except for a folder of images, which has no clock.
"""

from sentio.affect.labels import SAMPLE_RATE
from sentio.affect.media.container import DECLARING, MAX_PIXELS
from sentio.affect.media.damage import Damage, Gap
from sentio.affect.media.frame import AudioBlock, Frame
from sentio.affect.media.info import Info
from sentio.affect.media.reader import Media, open_media
from sentio.affect.media.source import MediaError

__all__ = [
    "DECLARING",
    "MAX_PIXELS",
    "SAMPLE_RATE",
    "AudioBlock",
    "Damage",
    "Frame",
    "Gap",
    "Info",
    "Media",
    "MediaError",
    "open_media",
]
