"""Videos with sound as the studio writes them."""

from pathlib import Path

import numpy as np
import pytest

from sentio.affect.labels import SAMPLE_RATE
from sentio.affect.media import open_media
from sentio.affect.synth.layout import write_media


def test_sound_is_heard_when_it_was_made(tmp_path: Path) -> None:
    """AAC begins with samples of its own, which must not delay the rest."""
    sound = np.zeros(3 * SAMPLE_RATE, np.float32)
    sound[SAMPLE_RATE : SAMPLE_RATE + 400] = 0.8 * np.sin(0.3 * np.arange(400))
    write_media(tmp_path / "click.mp4", [np.zeros((64, 64, 3), np.uint8)] * 75, sound, 25)
    with open_media(tmp_path / "click.mp4") as media:
        assert media.info.duration_s == pytest.approx(3, abs=0.01)
        samples, start_s = media.waveform()
    assert start_s + np.flatnonzero(np.abs(samples) > 0.2)[0] / SAMPLE_RATE == pytest.approx(1, abs=0.005)
