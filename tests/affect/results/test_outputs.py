"""What lies in a result folder: tables, landmarks, crops."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from media import steady, write_media
from sentio import analyze
from sentio.affect.analysis.options import Options
from sentio.affect.data.images import read_image
from sentio.affect.data.tree import scan
from sentio.affect.faces.haar import Haar
from sentio.affect.faces.tracking import FaceTracker
from sentio.affect.media import open_media
from sentio.affect.results.folder import RECORD, Analysis
from sentio.affect.results.outputs import EVERYTHING, OUTPUTS
from sentio.affect.synth.layout import write_annotations
from sentio.affect.table import X_COLUMNS, Y_COLUMNS
from sentio.core.errors import RecipeError
from sentio.core.results import Table

pytestmark = pytest.mark.usefixtures("tiny_models")
HAAR = Options(detector="haar")
ALL = replace(HAAR, landmarks=True, crops=True)


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    return write_media(tmp_path_factory.mktemp("clip") / "clip.mp4", times=steady(6))


def test_every_output_is_written_and_nothing_else(tmp_path, clip) -> None:
    Analysis(tmp_path, ALL, tuple(output.name for output in OUTPUTS)).write(tmp_path / "all", clip)
    expected = {RECORD, *(name for output in EVERYTHING for name in output.files)}
    assert {path.name for path in (tmp_path / "all").iterdir()} == expected
    metadata = pq.read_table(tmp_path / "all/affect.parquet").schema.metadata
    assert json.loads(metadata[b"sentio"]) == Table.read(tmp_path / "all/affect.parquet").header
    for name in ("xlsx", "crops"):
        with pytest.raises(RecipeError, match=name):
            Analysis(tmp_path, HAAR, (name,))


def test_landmarks_lie_beside_the_table_row_for_row(tmp_path, clips, tiny_models) -> None:
    for name, options in (("with", replace(ALL, end=0.4)), ("without", replace(HAAR, end=0.4))):
        Analysis(tmp_path, options, ("parquet", "csv")).write(tmp_path / name, clips / "pair.mp4")
    table, points = (Table.read(tmp_path / f"with/{name}.parquet") for name in ("affect", "landmarks"))
    assert table.arrow.equals(Table.read(tmp_path / "without/affect.parquet").arrow), "the table is the same"
    assert points.arrow.column_names == ["file", "person", "frame", "time_s", *X_COLUMNS, *Y_COLUMNS]
    for name in ("file", "person", "frame", "time_s"):
        assert points.arrow[name].equals(table.arrow[name])
    assert len(points) == 20 and points.arrow["x_0"].null_count == 0
    assert points.header["schema"] == "sentio.landmarks" and points.header["model"] == table.header["model"]
    [header] = (tmp_path / "with").glob("landmarks.csv.header.json")
    assert json.loads(header.read_text()) == points.header
    lines = (tmp_path / "with/landmarks.csv").read_text().splitlines()
    assert lines[0].replace('"', "").split(",") == points.arrow.column_names and len(lines) == 21
    in_memory = analyze(clips / "pair.mp4", options=replace(HAAR, end=0.4, landmarks=True))
    assert in_memory.arrow.select(points.arrow.column_names).equals(points.arrow)
    assert in_memory.arrow.select(table.arrow.column_names).equals(table.arrow)
    assert in_memory.header["columns"]["y_67"]["unit"] == "px" and "y_67" not in table.header["columns"]


def test_landmarks_without_a_table_to_write_them_are_refused(tmp_path) -> None:
    with pytest.raises(RecipeError, match="parquet, csv, jsonl"):
        Analysis(tmp_path, ALL, ("vtt", "plot"))
    Analysis(tmp_path, ALL, ("vtt", "jsonl"))


def test_rows_without_a_face_have_no_landmarks(tmp_path, clip) -> None:
    Analysis(tmp_path, ALL).write(tmp_path / "a", clip)
    points = Table.read(tmp_path / "a/landmarks.parquet").arrow
    assert len(points) == points["x_0"].null_count == points["person"].null_count == 6
    assert list((tmp_path / "a/cropped_aligned").iterdir()) == []


def test_crops_are_laid_out_as_the_data_is_read(tmp_path, clips) -> None:
    record = Analysis(tmp_path, replace(ALL, start=0.2, end=0.4), ("csv",)).write(tmp_path / "out", clips / "pair.mp4")
    assert record["outputs"] == ["affect.csv", "landmarks.csv", "cropped_aligned"]
    write_annotations(tmp_path, "pair", "training", {"va": np.zeros((50, 2))})
    write_annotations(tmp_path, "pair_person1", "training", {"va": np.zeros((50, 2))})
    shutil.copy(clips / "pair.mp4", tmp_path)
    tree = scan(tmp_path)
    assert set(tree.crops) == {"pair", "pair_person1"} and not tree.problems
    tracker = FaceTracker(Haar())
    with open_media(clips / "pair.mp4", start=0.2, end=0.4) as media:
        numbers, pictures = zip(*((frame.index, frame) for frame in media), strict=True)
        frames = [found for frame in pictures for found in tracker.push(frame.image, frame.time_s)] + tracker.flush()
    for person, clip in enumerate(("pair", "pair_person1")):
        crops = tree.crops_of(clip, 50)
        assert list(np.flatnonzero(crops.present)) == list(numbers) == list(range(5, 10))
        assert tree.media_of(clip) == tmp_path / "pair.mp4"
        for number, frame in zip(numbers, frames, strict=True):
            [face] = [face for face in frame.faces if face.person == person]
            found = read_image(crops.path(number))
            assert found.shape == (112, 112, 3) and np.abs(found.astype(int) - face.crop).mean() < 4, "but for JPEG"
