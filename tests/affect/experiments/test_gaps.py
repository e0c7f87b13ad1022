"""Stored features with gaps: what is missing, what stands in its place, and that what is left is what was there."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from sentio.affect.data.extraction import extract  # noqa: E402
from sentio.affect.experiments._gaps import Gaps, drop, write_gaps  # noqa: E402
from sentio.affect.training.published import AffectData, DataConfig, open_store  # noqa: E402


@pytest.fixture(scope="module")
def config(drawn, tmp_path_factory):
    """The drawn set with features of the embedded models, in a folder of their own."""
    found = DataConfig(
        sets=("va",), features=str(tmp_path_factory.mktemp("features")), face_encoder="face", sound_encoder="voice",
        sound_s=2.0,
    )  # fmt: skip
    for spec in ("face", "voice"):
        extract(drawn, open_store(drawn, spec, found))
    return found


def stored(root, config, folder):
    """Of a validation clip: face and sound features, before and with gaps."""
    data, other = AffectData(root, config), AffectData(root, DataConfig(**vars(config) | {"features": str(folder)}))
    clip = data.scored("validation")[0]
    faces = [found.faces.open(clip.name, clip.crops.folder) for found in (data, other)]
    return faces, [found.sound.open(clip.media.stem, clip.media) for found in (data, other)]


def is_part(part, whole):
    rows = np.searchsorted(whole.times, part.times)
    return np.array_equal(whole.times[rows], part.times) and np.array_equal(whole.values[rows], part.values)


@pytest.mark.parametrize("run", [1, 15])
def test_the_rest_is_as_it_was(run, drawn, config, tmp_path):
    write_gaps(drawn, config, Gaps(faces=0.4, sound=0.3, run=run), 0, tmp_path)
    for before, after in stored(drawn, config, tmp_path):
        assert 0 < len(after.times) < len(before.times) and is_part(after, before)


def test_a_seed_draws_what_is_missing(drawn, config, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_gaps(drawn, config, Gaps(faces=0.5), seed, tmp_path / name)
    a, b, c = (stored(drawn, config, tmp_path / name)[0][1].times for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_nothing_is_left_of_a_sound_that_is_missing(drawn, config, tmp_path):
    write_gaps(drawn, config, Gaps(sound=1.0), 0, tmp_path)
    faces, sounds = stored(drawn, config, tmp_path)
    assert len(sounds[1].times) == 0 and np.array_equal(faces[0].times, faces[1].times)


def test_a_frame_gets_the_nearest_face_that_is_left(drawn, config, tmp_path):
    gaps = Gaps(faces=0.75, run=15)
    write_gaps(drawn, config, gaps, 0, tmp_path / "lost")
    write_gaps(drawn, config, Gaps(faces=0.75, run=15, nearest=True), 0, tmp_path / "filled")
    before, left = stored(drawn, config, tmp_path / "lost")[0]
    filled = stored(drawn, config, tmp_path / "filled")[0][1]
    assert np.array_equal(filled.times, before.times)
    for time, value in zip(filled.times, filled.values, strict=True):
        near = np.abs(left.times - time)
        assert any(np.array_equal(value, left.values[row]) for row in np.flatnonzero(near == near.min()))


@pytest.mark.parametrize(("count", "share", "run"), [(90, 0.5, 15), (100, 0.75, 1), (7, 1.0, 3), (40, 0.0, 5)])
def test_dropped_runs_do_not_overlap(count, share, run):
    lost = drop(count, share, run, np.random.default_rng(0))
    pieces = [set(lost[start : start + run].tolist()) for start in range(0, count, run)]
    assert all(len(piece) == 1 for piece in pieces)
    assert sum(True in piece for piece in pieces) == round(share * len(pieces))
