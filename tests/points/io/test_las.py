"""LAS and LAZ: scales that new points need, and COPC."""

from pathlib import Path

import numpy as np
import pytest

from sentio.core.errors import OutputError
from sentio.points.io import carry, read_cloud, write_cloud

laspy = pytest.importorskip("laspy")

WAVE = np.random.default_rng(0).random((4000, 2)) * 30
POINTS = np.column_stack([WAVE, np.sin(WAVE.sum(axis=1) / 5)]) + [412345.0, 5312345.0, 431.0]
"""A surface in map coordinates, its points half a metre apart."""


def write_las(path: Path, scale: float, offsets: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
    header = laspy.LasHeader(version="1.4", point_format=6)
    header.scales, header.offsets = [scale] * 3, offsets
    las = laspy.LasData(header)
    las.x, las.y, las.z = POINTS.T
    las.write(path)


def between(points: np.ndarray, parts: int) -> np.ndarray:
    """The points, and others between each and the next along the first axis."""
    order = points[np.argsort(points[:, 0])]
    shares = np.arange(1, parts)[:, None, None] / parts
    return np.concatenate([points, (order[:-1] + shares * np.diff(order, axis=0)).reshape(-1, 3)])


@pytest.mark.parametrize("suffix", ["las", "laz"])
def test_a_coarse_scale_is_refined_until_new_points_stay_apart(suffix: str, tmp_path: Path) -> None:
    write_las(tmp_path / f"in.{suffix}", 0.1)
    cloud = read_cloud(tmp_path / f"in.{suffix}")
    old_alike = len(cloud.points) - len(np.unique(cloud.points, axis=0))
    assert old_alike > 0  # points of the input that its scale has put together are not our doing
    dense = carry(cloud, between(cloud.points, 8))
    new_alike = len(dense.points) - len(np.unique(dense.points.round(5), axis=0))
    note = write_cloud(dense, tmp_path / f"out.{suffix}")
    result = laspy.read(tmp_path / f"out.{suffix}")
    assert len(result.xyz) - len(np.unique(np.stack([result.X, result.Y, result.Z], 1), axis=0)) == new_alike
    assert (result.header.scales < 0.1).all() and "not 0.1 as in the source" in note
    np.testing.assert_allclose(result.xyz[: len(cloud.points)], cloud.points, rtol=0, atol=1e-9)
    np.testing.assert_allclose(result.xyz, dense.points, rtol=0, atol=result.header.scales[0] * 0.51)


def test_offsets_move_only_where_32_bits_would_not_do(tmp_path: Path) -> None:
    for name, offsets in (("far", (0.0, 0.0, 0.0)), ("near", (412000.0, 5312000.0, 0.0))):
        write_las(tmp_path / f"{name}.las", 0.1, offsets)
        cloud = read_cloud(tmp_path / f"{name}.las")
        tight = carry(cloud, cloud.points[:1] + (between(cloud.points, 2) - cloud.points[:1]) * [1e-3, 1e-3, 1e-3])
        write_cloud(tight, tmp_path / f"{name}-out.las")
        result = laspy.read(tmp_path / f"{name}-out.las")
        assert (result.header.offsets == offsets).all() == (name == "near")
        np.testing.assert_allclose(result.xyz, tight.points, rtol=0, atol=result.header.scales[0] * 0.51)


def test_a_scale_that_does_stays(tmp_path: Path) -> None:
    write_las(tmp_path / "in.las", 0.001, (412000.0, 5312000.0, 0.0))
    cloud = read_cloud(tmp_path / "in.las")
    assert write_cloud(carry(cloud, between(cloud.points, 4)), tmp_path / "out.las") == ""
    assert (laspy.read(tmp_path / "out.las").header.scales == 0.001).all()


@pytest.fixture
def copc(tmp_path: Path) -> Path:
    """A COPC file of two levels by another library."""
    copclib = pytest.importorskip("copclib")
    path = tmp_path / "scan.copc.laz"
    config = copclib.CopcConfigWriter(6, copclib.Vector3(0.001, 0.001, 0.001), copclib.Vector3(412000, 5312000, 0), "")
    config.las_header.min, config.las_header.max = (
        copclib.Vector3(*getattr(POINTS, end)(axis=0)) for end in ("min", "max")
    )
    config.copc_info.spacing = 1.0
    writer = copclib.FileWriter(str(path), config)
    for key, rows in (((0, 0, 0, 0), POINTS[:1500]), ((1, 0, 0, 0), POINTS[1500:])):
        points = copclib.Points(config.las_header)
        for x, y, z in rows:
            point = points.CreatePoint()
            point.x, point.y, point.z, point.intensity = x, y, z, int(z * 10)
            points.AddPoint(point)
        writer.AddNode(copclib.VoxelKey(*key), points)
    writer.Close()
    return path


def test_copc_is_read_and_written_as_laz_without_its_index(copc: Path, tmp_path: Path) -> None:
    cloud = read_cloud(copc)
    with laspy.CopcReader.open(str(copc)) as reader:
        theirs = reader.query()
    assert len(theirs) == len(cloud.points) == len(POINTS)
    np.testing.assert_allclose(np.sort(cloud.points, axis=0), np.sort(POINTS, axis=0), rtol=0, atol=0.0006)
    np.testing.assert_array_equal(np.sort(cloud.attributes["intensity"]), np.sort((POINTS[:, 2] * 10).astype(int)))
    write_cloud(cloud, tmp_path / "out.laz")
    with laspy.open(tmp_path / "out.laz") as reader:
        assert not [record for record in reader.header.vlrs if record.user_id == "copc"]
        assert not [record for record in reader.evlrs or () if record.user_id == "copc"]
        np.testing.assert_allclose(reader.read().xyz, cloud.points, rtol=0, atol=1e-9)


def test_copc_is_not_written(copc: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="COPC is read, but not written"):
        write_cloud(read_cloud(copc), tmp_path / "out.copc.laz")
