"""E57 files as pye57's own writer and libE57 make them."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from sentio.core.errors import InputError, MissingExtraError
from sentio.points.io import read_cloud

pye57 = pytest.importorskip("pye57")
lib = pye57.libe57

TURN = np.array([np.cos(0.4), 0.0, 0.0, np.sin(0.4)])  # w, x, y, z: by 0.8 rad about z


def scan(count: int = 200, seed: int = 0, **more: np.ndarray) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    axes = dict(zip(("cartesianX", "cartesianY", "cartesianZ"), random.normal(size=(3, count)) * 20, strict=True))
    colours = {f"color{name}": random.integers(0, 256, count).astype("B") for name in ("Red", "Green", "Blue")}
    return axes | colours | {"intensity": random.random(count).astype("f")} | more


def write(path: Path, *scans: dict[str, np.ndarray], shift: float = 0.0) -> None:
    with pye57.E57(str(path), mode="w") as file:
        for number, data in enumerate(scans):
            file.write_scan_raw(data, rotation=TURN, translation=np.array([shift + 100.0 * number, 5.0, 6.0]))


def test_scans_come_together_where_their_poses_put_them(tmp_path: Path) -> None:
    bad = (np.arange(200) % 10 == 0).astype("b")
    write(tmp_path / "a.e57", scan(), scan(seed=1, cartesianInvalidState=bad), shift=412345.0)
    cloud = read_cloud(tmp_path / "a.e57")
    with pye57.E57(str(tmp_path / "a.e57")) as file:
        theirs = [file.read_scan(i, intensity=True, colors=True, ignore_missing_fields=True) for i in range(2)]
    joined = {name: np.concatenate([part[name] for part in theirs]) for name in theirs[0]}
    assert (len(cloud.points), cloud.source.dropped, cloud.source.format) == (380, 20, "e57")
    for i, axis in enumerate("XYZ"):
        np.testing.assert_allclose(cloud.points[:, i], joined[f"cartesian{axis}"], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(cloud.attributes["intensity"], joined["intensity"])
    for i, name in enumerate(("Red", "Green", "Blue")):
        np.testing.assert_array_equal(cloud.attributes["colour"][:, i], joined[f"color{name}"])
    np.testing.assert_array_equal(cloud.attributes["scan"], np.repeat([0, 1], [200, 180]))


def test_what_only_some_scans_have_is_left_out_and_said(tmp_path: Path) -> None:
    bare = {name: values for name, values in scan().items() if name.startswith("cartesian")}
    write(tmp_path / "a.e57", scan(), bare)
    cloud = read_cloud(tmp_path / "a.e57")
    assert set(cloud.attributes) == {"scan"}
    assert "blue, green, intensity, red" in cloud.source.notes[0]


def write_spherical(path: Path, values: np.ndarray, states: np.ndarray) -> None:
    """One scan without a pose by libE57 itself: range as scaled integer of 0.1 mm, angles as floats of 64 bits."""
    names = ("sphericalRange", "sphericalAzimuth", "sphericalElevation", "sphericalInvalidState")
    image = lib.ImageFile(str(path), "w")
    image.extensionsAdd("", lib.E57_V1_0_URI)
    root = image.root()
    for name, text in (("formatName", "ASTM E57 3D Imaging Data File"), ("guid", "{1}")):
        root.set(name, lib.StringNode(image, text))
    for name, number in (("versionMajor", lib.E57_FORMAT_MAJOR), ("versionMinor", lib.E57_FORMAT_MINOR)):
        root.set(name, lib.IntegerNode(image, number))
    scans = lib.VectorNode(image, True)
    root.set("data3D", scans)
    node, prototype = lib.StructureNode(image), lib.StructureNode(image)
    node.set("guid", lib.StringNode(image, "{2}"))
    prototype.set(names[0], lib.ScaledIntegerNode(image, 0, 0, 2**20, 1e-4, 0.0))
    for name in names[1:3]:
        prototype.set(name, lib.FloatNode(image, 0.0, lib.E57_DOUBLE, -10.0, 10.0))
    prototype.set(names[3], lib.IntegerNode(image, 0, 0, 2))
    points = lib.CompressedVectorNode(image, prototype, lib.VectorNode(image, True))
    node.set("points", points)
    scans.append(node)
    buffers = lib.VectorSourceDestBuffer()
    columns = [np.ascontiguousarray(column) for column in values.T] + [states]
    for name, column in zip(names, columns, strict=True):
        buffers.append(lib.SourceDestBuffer(image, name, column, len(column), True, True))
    writer = points.writer(buffers)
    writer.write(len(values))
    writer.close()
    image.close()


def test_spherical_coordinates_and_their_invalid_points(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    values = np.column_stack([random.uniform(1, 90, 50), random.uniform(-3, 3, 50), random.uniform(-1.5, 1.5, 50)])
    states = (np.arange(50) % 5 == 0).astype("b") * 2
    write_spherical(tmp_path / "a.e57", values, states)
    cloud = read_cloud(tmp_path / "a.e57")
    r, azimuth, elevation = values[states == 0].T
    assert (len(cloud.points), cloud.source.dropped) == (40, 10)
    np.testing.assert_allclose(np.linalg.norm(cloud.points, axis=1), r, atol=6e-5)
    np.testing.assert_allclose(np.arctan2(cloud.points[:, 1], cloud.points[:, 0]), azimuth, atol=1e-9)
    up = np.arctan2(cloud.points[:, 2], np.linalg.norm(cloud.points[:, :2], axis=1))
    np.testing.assert_allclose(up, elevation, atol=1e-9)


CRC32C = [0] * 256
for byte in range(256):
    value = byte
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    CRC32C[byte] = value


def paged(content: bytes) -> bytes:
    """Content cut into pages, each with its checksum, so that damage is met behind them."""
    result = bytearray()
    for i in range(0, len(content) // 1020 * 1020, 1020):
        check = 0xFFFFFFFF
        for byte in content[i : i + 1020]:
            check = CRC32C[(check ^ byte) & 255] ^ check >> 8
        result += content[i : i + 1020] + struct.pack(">I", check ^ 0xFFFFFFFF)
    return bytes(result)


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A file without the checksums of its pages."""
    write(tmp_path / "a.e57", scan(60))
    data = (tmp_path / "a.e57").read_bytes()
    content = b"".join(data[i : i + 1020] for i in range(0, len(data), 1024))
    assert paged(content) == data
    return content


def test_damaged_files_give_a_cloud_or_a_typed_error(content: bytes, tmp_path: Path) -> None:
    path, outcomes = tmp_path / "b.e57", set()
    for seed in range(60):
        random, broken = np.random.default_rng(seed), bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            broken[place] = random.choice(list(b"019\xff\0"))
        path.write_bytes(paged(broken)[: random.integers(1, len(content)) if seed % 4 == 0 else None])
        try:
            outcomes.add(len(read_cloud(path).points))
        except InputError as error:
            assert "b.e57" in error.what
            outcomes.add(0)
    assert 0 in outcomes


LIES = {
    "room for": ((b'recordCount="60"', b'recordCount="600000000000"'), (b"pye57 v0.4.19", b"pye")),
    "not plain XML": ((b'<?xml version="1.0" encoding="UTF-8"?>', b'<!DOCTYPE a [<!ENTITY b "cccccccccc">]>'[:38]),),
    "no coordinates": ((b"cartesianX type=", b"cartesianQ type="), (b"/cartesianX", b"/cartesianQ")),
    "no E57 file": ((b"ASTM-E57", b"ASTM-E58"),),
}


@pytest.mark.parametrize("reason", LIES)
def test_what_a_description_must_not_say(reason: str, content: bytes, tmp_path: Path) -> None:
    for old, new in LIES[reason]:
        assert old in content
        content = content.replace(old, new)
    (tmp_path / "b.e57").write_bytes(paged(content))
    with pytest.raises(InputError, match=reason):
        read_cloud(tmp_path / "b.e57")


def test_flipped_bits_are_found_by_the_checksums(tmp_path: Path) -> None:
    write(tmp_path / "a.e57", scan())
    data = bytearray((tmp_path / "a.e57").read_bytes())
    data[300] ^= 1
    (tmp_path / "a.e57").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        read_cloud(tmp_path / "a.e57")


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pye57", None)
    with pytest.raises(MissingExtraError, match=r"\.\[points\]"):
        read_cloud(tmp_path / "a.e57")
