import logging

import numpy as np
import pytest

from sentio.affect.labels import SOURCES
from sentio.affect.training.published import AffectData, DataConfig
from sentio.core.errors import InputError


def rows_of(streams):
    return [(name, sorted(rows.tolist())) for name, rows in streams.batches]


def test_every_set_is_cut_into_the_same_number_of_batches_and_ends_with_the_epoch(drawn):
    config = DataConfig(sets=("mtl", "va", "expr"), face_size=8, stream_batch=64)
    data = AffectData(drawn, config)
    streams, windows = data.train_dataset(), AffectData(drawn, DataConfig(sets=("mtl", "va", "expr"))).train_dataset()
    counts = {name: sum(windows.clips[windows.locate(i)[0]].source == name for i in range(len(windows)))
              for name in config.sets}  # fmt: skip
    rounds = -(-max(counts.values()) // 64)
    assert len(streams) == 3 * rounds and counts["mtl"] < counts["va"] / 4
    seen = []
    for name in config.sets:
        lengths = [len(rows) for source, rows in streams.batches if source == name]
        assert len(lengths) == rounds and max(lengths) - min(lengths) <= 1 and sum(lengths) == counts[name]
        assert max(lengths) <= 64
        seen += [row for source, rows in streams.batches if source == name for row in rows.tolist()]
    assert sorted(seen) == list(range(len(windows)))


def test_a_batch_holds_windows_of_one_set(drawn):
    data = AffectData(drawn, DataConfig(sets=("va", "mtl"), face_size=8, stream_batch=40))
    streams = data.train_dataset()
    for index in (0, len(streams) - 1):
        name, rows = streams.batches[index]
        batch = data.collate([streams[index]])
        assert len(batch) == len(rows) and set(batch.source.tolist()) == {SOURCES.index(name)}
        first = data.windows(data.split("train"), data.config.windows)[int(rows[0])]
        np.testing.assert_array_equal(first["valence_arousal"], batch.valence_arousal[0])
        assert streams.describe(index).startswith(f"{len(rows)} windows of {name}, the first video")


def test_batches_depend_on_the_epoch_and_on_nothing_else(drawn):
    data = AffectData(drawn, DataConfig(sets=("va", "expr"), stream_batch=50))
    one, two = data.train_dataset(), data.train_dataset()
    one.set_epoch(3), two.set_epoch(3)
    assert rows_of(one) == rows_of(two)
    two.set_epoch(4)
    assert rows_of(one) != rows_of(two)


def test_a_set_too_small_for_its_share_is_named(drawn):
    with pytest.raises(InputError, match=r"The set mtl has \d+ windows?, and is to give each of \d+ batches two"):
        AffectData(drawn, DataConfig(sets=("va", "mtl"), stream_batch=2)).train_dataset()


def test_sets_to_validate_on_and_what_they_hold_out_of_training(copy, caplog):
    held = next((copy / "VA_Estimation_Challenge/Validation_Set").glob("*.txt"))
    held.rename(copy / "VA_Estimation_Challenge/Train_Set" / held.name)  # VA trains on what MTL validates on
    with caplog.at_level(logging.WARNING):
        data = AffectData(copy, DataConfig(sets=("mtl", "va"), validation_sets=("mtl",)))
    assert {clip.source for clip in data.split("validation")} == {"mtl"}
    assert held.stem in {clip.name for clip in data.split("validation")}
    assert held.stem not in {clip.name for clip in data.split("train")}
    assert {clip.source for clip in data.split("train")} == {"mtl", "va"}
    assert "1 training clips are left out" in caplog.text
