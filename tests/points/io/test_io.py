"""Every format is read, written and read again; foreign files, damaged files and attributes on new points."""

import contextlib
import io
import itertools
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentio.core.errors import InputError, MissingExtraError, OutputError
from sentio.points.io import Cloud, Source, carry, read_cloud, read_mesh, write_cloud
from sentio.points.io.pcd import decompress

EXACT = ("ply", "pcd", "npy", "npz")
TEXT = ("xyz", "txt", "asc", "csv")
LAS = ("las", "laz")
MESHES = ("obj", "off", "stl", "glb", "ply")


def make_cloud(count: int = 50, seed: int = 0, *, dtype: str = "float64") -> Cloud:
    """Map coordinates, which float32 cannot hold, with an attribute of every kind."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(count, 3)) * 10 + [412345.678, 5312345.678, 431.2]
    if dtype == "float32":
        points = random.normal(size=(count, 3)).astype(np.float32)
    normals = random.normal(size=(count, 3)).astype(np.float32)
    attributes = {
        "colour": random.integers(0, 256, (count, 3), dtype=np.uint8),
        "normals": normals / np.linalg.norm(normals, axis=1, keepdims=True),
        "intensity": random.random(count).astype(np.float32),
        "ring": random.integers(0, 64, count, dtype=np.uint8),
        "temperature": random.normal(size=count),
    }
    return Cloud(points, attributes, Source(dtype=dtype))


def assert_same(left: Cloud, right: Cloud) -> None:
    np.testing.assert_array_equal(left.points, right.points)
    assert set(left.attributes) == set(right.attributes)
    for name, values in left.attributes.items():
        np.testing.assert_array_equal(values, right.attributes[name], err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("suffix", EXACT)
def test_binary_formats_return_the_same_cloud(suffix: str, dtype: str, tmp_path: Path) -> None:
    cloud = make_cloud(dtype=dtype)
    write_cloud(cloud, tmp_path / f"a.{suffix}")
    again = read_cloud(tmp_path / f"a.{suffix}")
    assert_same(cloud, again)
    assert again.source.dtype == dtype
    assert {k: v.dtype for k, v in again.attributes.items()} == {k: v.dtype for k, v in cloud.attributes.items()}


@pytest.mark.parametrize("suffix", TEXT)
def test_text_keeps_every_digit(suffix: str, tmp_path: Path) -> None:
    cloud = make_cloud()
    write_cloud(cloud, tmp_path / f"a.{suffix}")
    again = read_cloud(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(again.points, cloud.points)
    assert set(again.attributes) == set(cloud.attributes)
    for name, values in cloud.attributes.items():
        np.testing.assert_array_equal(again.attributes[name].astype(values.dtype), values, err_msg=name)
    assert again.attributes["ring"].dtype.kind == "i" and again.attributes["colour"].dtype == np.uint8


@pytest.mark.parametrize("suffix", LAS)
def test_las_holds_every_attribute_and_the_finest_scale(suffix: str, tmp_path: Path) -> None:
    cloud = make_cloud()
    write_cloud(cloud, tmp_path / f"a.{suffix}")
    again = read_cloud(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(again.points, cloud.points, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(again.attributes["colour"], cloud.attributes["colour"].astype(np.uint16) * 257)
    np.testing.assert_array_equal(again.attributes["intensity_value"], cloud.attributes["intensity"])
    for name in ("normals", "ring", "temperature"):
        np.testing.assert_array_equal(again.attributes[name], cloud.attributes[name])


@pytest.mark.parametrize("suffix", LAS)
def test_las_header_survives_new_points(suffix: str, tmp_path: Path) -> None:
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(version="1.2", point_format=3)
    header.scales, header.offsets = [0.01, 0.01, 0.001], [412000.0, 5312000.0, 0.0]
    header.vlrs.append(laspy.VLR("made-by-test", 7, "note", b"kept"))
    las = laspy.LasData(header)
    points = np.round(make_cloud().points, 2)
    las.x, las.y, las.z = points.T
    las.classification = np.arange(50) % 7
    las.intensity = np.arange(50) * 100
    las.gps_time = np.linspace(1e5, 2e5, 50)
    las.write(tmp_path / f"in.{suffix}")

    cloud = read_cloud(tmp_path / f"in.{suffix}")
    np.testing.assert_allclose(cloud.points, points, rtol=0, atol=1e-9)
    dense = carry(cloud, np.concatenate([cloud.points, cloud.points + 0.5]))
    write_cloud(dense, tmp_path / f"out.{suffix}")
    result = laspy.read(tmp_path / f"out.{suffix}")
    assert result.header.point_format.id == 3 and str(result.header.version) == "1.2"
    np.testing.assert_array_equal(result.header.scales, header.scales)
    np.testing.assert_array_equal(result.header.offsets, header.offsets)
    assert [vlr.record_data_bytes() for vlr in result.header.vlrs if vlr.user_id == "made-by-test"] == [b"kept"]
    np.testing.assert_array_equal(result.X[:50], las.X)
    np.testing.assert_array_equal(result.gps_time[:50], las.gps_time)
    assert set(np.unique(result.classification)) <= set(range(7))


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 30), seed=st.integers(0, 2**31), scale=st.sampled_from([1e-6, 1.0, 1e7]))
@pytest.mark.parametrize("suffix", [*EXACT, "csv"])
def test_any_cloud_survives(
    suffix: str, count: int, seed: int, scale: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    random = np.random.default_rng(seed)
    cloud = Cloud(random.normal(size=(count, 3)) * scale, {"value": random.normal(size=count) * scale})
    path = tmp_path_factory.mktemp("any") / f"a.{suffix}"
    write_cloud(cloud, path)
    assert_same(cloud, read_cloud(path))


def test_ply_is_what_another_library_reads(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    cloud = make_cloud()
    write_cloud(cloud, tmp_path / "a.ply")
    other = trimesh.load(tmp_path / "a.ply")
    np.testing.assert_array_equal(other.vertices, cloud.points)
    np.testing.assert_array_equal(other.colors[:, :3], cloud.attributes["colour"])


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_foreign_ply(order: str, tmp_path: Path) -> None:
    header = f"ply\r\nformat {order} 1.0\r\ncomment from elsewhere\r\nelement camera 1\r\nproperty float focal\r\n"
    header += (
        "element vertex 2\r\nproperty double x\r\nproperty double y\r\nproperty double z\r\nproperty uchar red\r\n"
    )
    header += "property uchar green\r\nproperty uchar blue\r\nproperty short label\r\nend_header\r\n"
    rows = [(412345.678901, 2.0, 3.0, 255, 128, 0, -5), (1.0, 2.0, 3.0, 1, 2, 3, 7)]
    if order == "ascii":
        body = ("35.0\n" + "\n".join(" ".join(map(repr, row)) for row in rows) + "\n").encode()
    else:
        mark = "<" if "little" in order else ">"
        body = struct.pack(f"{mark}f", 35.0) + b"".join(struct.pack(f"{mark}dddBBBh", *row) for row in rows)
    (tmp_path / "a.ply").write_bytes(header.encode() + body)
    cloud = read_cloud(tmp_path / "a.ply")
    np.testing.assert_array_equal(cloud.points, [row[:3] for row in rows])
    np.testing.assert_array_equal(cloud.attributes["colour"], [row[3:6] for row in rows])
    np.testing.assert_array_equal(cloud.attributes["label"], [-5, 7])
    assert cloud.source.comments == ("from elsewhere",)


def test_ascii_float_coordinates_keep_the_digits_that_float32_would_lose(tmp_path: Path) -> None:
    text = "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    (tmp_path / "a.ply").write_text(text + "412345.678 1 1\n412346.789 2 2\n")
    assert read_cloud(tmp_path / "a.ply").points[0, 0] == 412345.678


PCD_HEADER = """# .PCD v0.7 - Point Cloud Data file format
VERSION 0.7
FIELDS x y z rgb _ feature
SIZE 4 4 4 4 1 2
TYPE F F F F U I
COUNT 1 1 1 1 3 2
WIDTH 2
HEIGHT 2
VIEWPOINT 0 0 0 1 0 0 0
POINTS 4
DATA {kind}
"""
PCD_ROW = struct.Struct("<fffI3B2h")
PCD_ROWS = [
    (0.5, 1.5, 2.5, 0xFF102030, 0, 0, 0, -1, 1),
    (np.nan, np.nan, np.nan, 0, 0, 0, 0, 0, 0),
    (3.5, 4.5, 5.5, 0x00FFFEFD, 0, 0, 0, -2, 2),
    (6.5, 7.5, np.inf, 0, 0, 0, 0, 0, 0),
]


def pcd_bytes(kind: str) -> bytes:
    header = PCD_HEADER.format(kind=kind).encode()
    if kind == "ascii":
        rows = [(*r[:3], struct.unpack("<f", struct.pack("<I", r[3] & 0xFFFFFF))[0], *r[4:]) for r in PCD_ROWS]
        return header + "\n".join(" ".join(repr(value) for value in row) for row in rows).encode()
    packed = [PCD_ROW.pack(*row) for row in PCD_ROWS]
    if kind == "binary":
        return header + b"".join(packed)
    ends = [0, 4, 8, 12, 16, 19, 23]
    fields = b"".join(row[a:b] for a, b in itertools.pairwise(ends) for row in packed)
    return header + struct.pack("<II", len(lzf(fields)), len(fields)) + lzf(fields)


def lzf(data: bytes) -> bytes:
    """A plain LZF packer: the longest earlier match of three bytes or more, else literals."""
    out, literals, i = bytearray(), bytearray(), 0
    while i < len(data):
        length, distance = 0, 0
        for candidate in range(max(0, i - 8192), i):
            n = 0
            while i + n < len(data) and n < 264 and data[candidate + n] == data[i + n]:
                n += 1
            if n > length:
                length, distance = n, i - candidate - 1
        if length < 3:
            literals.append(data[i])
            i += 1
        if literals and (length >= 3 or len(literals) == 32 or i == len(data)):
            out += bytes([len(literals) - 1]) + literals
            literals.clear()
        if length >= 3:
            short = length - 2
            out += bytes([min(short, 7) << 5 | distance >> 8]) + (bytes([short - 7]) if short >= 7 else b"")
            out.append(distance & 255)
            i += length
    return bytes(out)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=12), st.integers(1, 40))
def test_lzf_unpacks_what_was_packed(parts: list[bytes], repeats: int) -> None:
    data = b"".join(parts) * repeats
    assert decompress(lzf(data[:3000])) == data[:3000]


@given(st.binary(max_size=60))
def test_lzf_of_garbage_ends(data: bytes) -> None:
    with contextlib.suppress(InputError):
        decompress(data)


@pytest.mark.parametrize("kind", ["ascii", "binary", "binary_compressed"])
def test_foreign_pcd_drops_and_counts_points_that_are_not_finite(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.pcd").write_bytes(pcd_bytes(kind))
    cloud = read_cloud(tmp_path / "a.pcd")
    np.testing.assert_array_equal(cloud.points, [[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]])
    np.testing.assert_array_equal(cloud.attributes["colour"], [[0x10, 0x20, 0x30], [0xFF, 0xFE, 0xFD]])
    np.testing.assert_array_equal(cloud.attributes["feature"], [[-1, 1], [-2, 2]])
    assert set(cloud.attributes) == {"colour", "feature"}
    assert (cloud.source.dropped, cloud.source.width, cloud.source.height) == (2, 2, 2)


TEXTS = {
    "plain": ("0 1 2\n3 4 5\n", {}),
    "comma": ("0,1,2\n3,4,5", {}),
    "semicolon and spaces": (" 0 ; 1 ; 2 \n 3 ; 4 ; 5 \n\n", {}),
    "tabs": ("0\t1\t2\n3\t4\t5\n", {}),
    "header": ("x,y,z,Intensity,ring\n0,1,2,0.5,7\n3,4,5,1,8\n", {"Intensity": [0.5, 1], "ring": [7, 8]}),
    "other order": ("label x z y\n1 0 2 1\n2 3 5 4\n", {"label": [1, 2]}),
    "comment names": ("# made by\n// X Y Z R G B\n0 1 2 255 0 9\n3 4 5 1 2 3\n", {"colour": [[255, 0, 9], [1, 2, 3]]}),
    "gap after names": ("x y z ring\n\n# rows\n0 1 2 7\n3 4 5 8\n", {"ring": [7, 8]}),
    "names within names": ("x y z xy yz\n0 1 2 7 8\n3 4 5 9 9\n", {"xy": [7, 9], "yz": [8, 9]}),
    "comment between": ("0 1 2\n# half\n3 4 5\n", {}),
    "colours": ("0 1 2 255 0 9\n3 4 5 1 2 3\n", {"colour": [[255, 0, 9], [1, 2, 3]]}),
    "normals": ("0 1 2 0.6 0.8 0\n3 4 5 0 0 -1.0\n", {"normals": [[0.6, 0.8, 0], [0, 0, -1]]}),
    "more": ("0 1 2 0.5\n3 4 5 1.5\n", {"column_4": [0.5, 1.5]}),
    "byte order mark": ('﻿"x","y","z"\r\n0,1,2\r\n3,4,5\r\n', {}),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_dialects(name: str, tmp_path: Path) -> None:
    text, attributes = TEXTS[name]
    (tmp_path / "a.txt").write_text(text, encoding="utf-8", newline="")
    cloud = read_cloud(tmp_path / "a.txt")
    np.testing.assert_array_equal(cloud.points, [[0, 1, 2], [3, 4, 5]])
    assert set(cloud.attributes) == set(attributes)
    for key, values in attributes.items():
        np.testing.assert_array_equal(cloud.attributes[key], values)


def test_arrays_of_other_programs(tmp_path: Path) -> None:
    table = np.arange(20, dtype=np.float32).reshape(4, 5)
    np.save(tmp_path / "a.npy", np.asfortranarray(table))
    cloud = read_cloud(tmp_path / "a.npy")
    np.testing.assert_array_equal(cloud.points, table[:, :3])
    np.testing.assert_array_equal(cloud.attributes["column_5"], table[:, 4])
    np.savez(tmp_path / "a.npz", xyz=table[:, :3], rgb=table[:, :3], name=np.array("x"), other=np.zeros(9))
    cloud = read_cloud(tmp_path / "a.npz")
    assert set(cloud.attributes) == {"rgb"}


@pytest.mark.parametrize("suffix", [*EXACT, "xyz", "csv", *LAS])
def test_strange_names_are_written_as_words(suffix: str, tmp_path: Path) -> None:
    name = "a, b\n;" + 40 * "c"
    write_cloud(Cloud(np.eye(3), {name: np.array([1.5, 2.5, 3.5])}), tmp_path / f"a.{suffix}")
    attributes = read_cloud(tmp_path / f"a.{suffix}").attributes
    (found,) = (key for key in attributes if key.startswith("a"))
    np.testing.assert_array_equal(attributes[found], [1.5, 2.5, 3.5])


def test_only_numbers_are_taken_from_arrays(tmp_path: Path) -> None:
    rows = np.zeros(
        3, dtype=[("x", "f8"), ("y", "f8"), ("z", "f8"), ("name", "U3"), ("cube", "f4", (2, 2)), ("on", "?")]
    )
    np.save(tmp_path / "a.npy", rows)
    assert set(read_cloud(tmp_path / "a.npy").attributes) == {"on"}
    np.save(tmp_path / "b.npy", np.zeros(3, dtype=[("x", "U3"), ("y", "f8"), ("z", "f8")]))
    with pytest.raises(InputError, match="no plain numbers"):
        read_cloud(tmp_path / "b.npy")


def test_the_viewpoint_of_a_pcd_is_kept(tmp_path: Path) -> None:
    text = PCD_HEADER.format(kind="binary").replace("0 0 0 1 0 0 0", "1 2 3 0 1 0 0")
    (tmp_path / "a.pcd").write_bytes(text.encode() + b"".join(PCD_ROW.pack(*row) for row in PCD_ROWS))
    write_cloud(carry(read_cloud(tmp_path / "a.pcd"), np.eye(3)), tmp_path / "b.pcd")
    assert b"VIEWPOINT 1 2 3 0 1 0 0\n" in (tmp_path / "b.pcd").read_bytes()


def test_lidar_records_are_told_apart(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    scan = np.column_stack([random.normal(size=(50, 3)) * 20, random.random(50)]).astype("<f4")
    sweep = np.column_stack([random.normal(size=(40, 3)), random.random(40) * 255, np.arange(40) % 32]).astype("<f4")
    assert scan.size == sweep.size  # the size alone does not tell
    (tmp_path / "000000.bin").write_bytes(scan.tobytes())
    for name in ("a.pcd.bin", "b.bin"):
        (tmp_path / name).write_bytes(sweep.tobytes())
        cloud = read_cloud(tmp_path / name)
        np.testing.assert_array_equal(cloud.points, sweep[:, :3])
        assert cloud.attributes["ring"].dtype == np.uint8
        write_cloud(cloud, tmp_path / f"again-{name}")
        assert (tmp_path / f"again-{name}").read_bytes() == sweep.tobytes()
    cloud = read_cloud(tmp_path / "000000.bin")
    assert cloud.source.format == "kitti"
    write_cloud(cloud, tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == scan.tobytes()
    assert len(read_cloud(tmp_path / "b.bin", format="kitti").points) == 50


@pytest.mark.parametrize("suffix", MESHES)
def test_meshes_are_sampled_on_their_surface(suffix: str, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.creation.icosphere(subdivisions=2)
    mesh.export(tmp_path / f"a.{suffix}")
    cloud = read_cloud(tmp_path / f"a.{suffix}", samples=500, seed=3)
    assert cloud.points.shape == (500, 3)
    assert read_mesh(tmp_path / f"a.{suffix}").closest(cloud.points).distance.max() < 1e-6
    np.testing.assert_allclose(np.linalg.norm(cloud.attributes["normals"], axis=1), 1, atol=1e-5)
    assert_same(cloud, read_cloud(tmp_path / f"a.{suffix}", samples=500, seed=3))
    assert not np.array_equal(cloud.points, read_cloud(tmp_path / f"a.{suffix}", samples=500, seed=4).points)


def test_colours_of_vertices_are_sampled_too(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.creation.box()
    mesh.visual.vertex_colors = np.column_stack([(mesh.vertices + 0.5) * 255, np.full(8, 255)]).astype(np.uint8)
    mesh.export(tmp_path / "a.ply")
    cloud = read_cloud(tmp_path / "a.ply", samples=300)
    np.testing.assert_allclose(cloud.attributes["colour"][:, :3], (cloud.points + 0.5) * 255, atol=1)


def test_obj_without_faces_is_a_cloud(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 2 3\n")
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.obj").points, [[0, 0, 0], [1, 2, 3]])
    with pytest.raises(InputError, match="no triangles"):
        read_mesh(tmp_path / "a.obj")


@pytest.mark.parametrize("suffix", [*EXACT, *TEXT, *LAS, "pcd.bin", "bin"])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
def test_a_file_cut_short_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    cloud = make_cloud(40)
    if suffix.endswith("bin"):
        cloud = Cloud(cloud.points, {"intensity": cloud.attributes["intensity"]})
    path = tmp_path / f"cut.{suffix}"
    write_cloud(cloud, path)
    data = path.read_bytes()
    data = data[: int(share * len(data))]
    if suffix in TEXT:  # a whole line fewer is a whole file: cut within one
        data = data[: data.rfind(b"\n")]
        data = data[: data.rfind(b",") if suffix == "csv" else data.rfind(b" ")]
    path.write_bytes(data[: len(data) // 4 * 4 - 1] if suffix.endswith("bin") else data)
    with pytest.raises(InputError, match=r"cut\."):
        read_cloud(path)


@pytest.mark.parametrize("suffix", ["off", "stl", "glb", "ply"])
def test_a_mesh_cut_short_is_refused(suffix: str, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / f"cut.{suffix}"
    trimesh.creation.icosphere(subdivisions=2).export(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    with pytest.raises(InputError, match=r"cut\."):
        read_cloud(path)


def test_an_obj_cut_within_its_vertices_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n")
    with pytest.raises(InputError, match="a.obj"):
        read_cloud(tmp_path / "a.obj")


def huge_npy() -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**13, 3)})
    return file.getvalue() + b"\0" * 48


HUGE = {
    "ply": b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999999999\nproperty float x\nproperty float y\n"
    b"property float z\nend_header\n" + b"\0" * 12,
    "ascii.ply": b"ply\nformat ascii 1.0\nelement vertex 99999999999999\nproperty float x\nproperty float y\n"
    b"property float z\nend_header\n0 0 0\n",
    "pcd": PCD_HEADER.format(kind="binary").replace("POINTS 4", "POINTS 99999999999999").encode() + b"\0" * 23,
    "ascii.pcd": PCD_HEADER.format(kind="ascii").replace("POINTS 4", "POINTS 99999999999999").encode() + b"0 0 0\n",
    "packed.pcd": PCD_HEADER.format(kind="binary_compressed").replace("POINTS 4", "POINTS 186737708").encode()
    + struct.pack("<II", 4, 186737708 * 23 % 2**32) + b"\0abc",
    "npy": huge_npy(),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
def test_a_false_count_claims_no_memory(name: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{name}").write_bytes(HUGE[name])
    with pytest.raises(InputError, match="a\\."):
        read_cloud(tmp_path / f"a.{name}")


@pytest.mark.parametrize("suffix", LAS)
def test_a_false_las_count_claims_no_memory(suffix: str, tmp_path: Path) -> None:
    write_cloud(make_cloud(20), tmp_path / f"a.{suffix}")
    data = bytearray((tmp_path / f"a.{suffix}").read_bytes())
    struct.pack_into("<Q", data, 247, 10**12)  # number of point records of LAS 1.4
    (tmp_path / f"a.{suffix}").write_bytes(data)
    with pytest.raises(InputError, match="a\\.la"):
        read_cloud(tmp_path / f"a.{suffix}")


BAD = {
    "empty.xyz": (b"", "empty"),
    "words.xyz": (b"once upon a time\n", "points"),
    "binary.xyz": (b"\0\1\2", "not a text"),
    "comment.xyz": (b"# x y z\n\n", "no points"),
    "two.csv": (b"1,2\n3,4\n", "at least x, y and z"),
    "header.csv": (b"a,b,c\n1,2,3\n", "no column 'x'"),
    "fewer.csv": (b"x,y,z\n1,2,3,4\n", "names 3 columns"),
    "ragged.csv": (b"1,2,3\n4,5\n", "no table"),
    "nan.xyz": (b"nan nan nan\ninf 0 0\n", "No point is finite"),
    "none.ply": (b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nend_header\n", "no points"),
    "nothing.pcd": (PCD_HEADER.format(kind="binary").replace("POINTS 4", "POINTS 0").encode(), "no points"),
    "novertex.ply": (b"ply\nformat ascii 1.0\nend_header\n", "no element 'vertex'"),
    "what.ply": (b"plywood", "no complete PLY header"),
    "what.pcd": (b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nDATA binary\n", "no line WIDTH"),
    "kind.pcd": (PCD_HEADER.format(kind="magic").encode(), "'magic'"),
    "lines.pcd": (b"hello\nworld\n", "not understood"),
    "what.npy": (b"abcdefghijk", "no numpy array"),
    "what.npz": (b"abcdefghijk", "npz"),
    "what.las": (b"LASF" + b"\0" * 400, "damaged"),
    "what.off": (b"OFF\n3 1 0\n0 0 0\n", "cut short"),
    "what.glb": (b"glTF1234", "damaged"),
    "odd.bin": (b"\0" * 15, "no records of KITTI"),
    "cloud.xyzzy": (b"1 2 3", "unknown format 'xyzzy'"),
    "noformat": (b"1 2 3", "unknown format ''"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_by_name_and_reason(name: str, tmp_path: Path) -> None:
    data, reason = BAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_cloud(tmp_path / name)
    assert name in caught.value.what and reason in caught.value.what


def damage(data: bytes, random: np.random.Generator) -> bytes:
    """Change, delete and insert a few bytes, most of them in the header; make a number long; at times cut the end."""
    result = bytearray(data)
    for _ in range(random.integers(1, 8)):
        place = int(random.integers(min(len(result), 300 if random.random() < 0.7 else len(result))))
        match random.integers(5):
            case 0:
                result[place] = int(random.integers(256))
            case 1:
                del result[place : place + int(random.integers(1, 9))]
            case 2:
                result[place:place] = random.choice(list(b"0129 -.,;e\xff\0"), 1).astype(np.uint8).tobytes()
            case 3:
                result[place : place + 4] = b"\xff\xff\xff\x7f"
            case 4 if numbers := list(re.finditer(rb"\d+", result[:2000])):
                start, end = numbers[random.integers(len(numbers))].span()
                result[start:end] = b"9" * int(random.integers(1, 14))
    return bytes(result[: random.integers(1, len(result)) if random.random() < 0.2 else None])


@pytest.mark.parametrize("suffix", [*EXACT, *TEXT, *LAS, "pts", "bin", "pcd.bin", "off", "stl", "glb", "obj"])
def test_damaged_bytes_give_a_cloud_or_a_typed_error(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix in MESHES and suffix != "ply":
        pytest.importorskip("trimesh").creation.icosphere(subdivisions=1).export(path)
    else:
        few = suffix in ("pts", "bin", "pcd.bin")
        cloud = make_cloud(dtype="float32" if few else "float64")
        write_cloud(Cloud(cloud.points, {"intensity": cloud.attributes["intensity"]}) if few else cloud, path)
    data, outcomes = path.read_bytes(), []
    for seed in range(60):
        path.write_bytes(damage(data, np.random.default_rng(seed)))
        try:
            cloud = read_cloud(path, samples=10)
            outcomes.append(np.isfinite(cloud.points).all())
        except InputError as error:
            outcomes.append(str(path) in error.what)
    assert all(outcomes)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_cloud(tmp_path / "a.ply")
    (tmp_path / "b.ply").mkdir()
    with pytest.raises(InputError, match="directory"):
        read_cloud(tmp_path / "b.ply")


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}, None], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", points=objects, allow_pickle=True)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match="Python objects"):
            read_cloud(tmp_path / name)


@pytest.mark.parametrize(("module", "name"), [("laspy", "a.las"), ("trimesh", "a.obj")])
def test_a_missing_package_is_named(module: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(MissingExtraError, match=r"\.\[points\]"):
        read_cloud(tmp_path / name)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old.bin").write_bytes(b"old")
    for name in ("old.bin", "new.bin", "new.docx"):
        with pytest.raises(OutputError):
            write_cloud(make_cloud(), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["old.bin"]
    assert (tmp_path / "old.bin").read_bytes() == b"old"


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((4, 2)), np.zeros(3), np.array([[0, 0, np.nan]])])
def test_a_cloud_refuses_what_is_no_cloud(points: np.ndarray) -> None:
    with pytest.raises(InputError):
        Cloud(points)


def test_carry_copies_on_old_points_and_blends_between() -> None:
    cloud = make_cloud(60)
    between = (cloud.points[:30] + cloud.points[30:]) / 2
    dense = carry(cloud, np.concatenate([cloud.points, between]))
    for name, values in cloud.attributes.items():
        carried = dense.attributes[name]
        assert carried.dtype == values.dtype
        np.testing.assert_array_equal(carried[:60], values, err_msg=name)
        if values.ndim == 1:
            assert values.min() <= carried.min() and carried.max() <= values.max()
    assert set(dense.attributes["ring"]) <= set(cloud.attributes["ring"])
    np.testing.assert_allclose(np.linalg.norm(dense.attributes["normals"], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("suffix", ["ply", "pcd", "npy", "npz"])
def test_new_points_stay_apart_where_float32_would_not_do(suffix: str, tmp_path: Path) -> None:
    points = np.arange(300, dtype=np.float32).reshape(100, 3) + np.array([412000, 5312000, 0], np.float32)
    write_cloud(Cloud(points, source=Source(dtype="float32")), tmp_path / f"a.{suffix}")
    cloud = read_cloud(tmp_path / f"a.{suffix}")
    apart = carry(cloud, np.concatenate([cloud.points, cloud.points + [0, 0.75, 0]]))
    assert apart.source.dtype == "float32" and apart.source.notes == ()
    near = carry(cloud, np.concatenate([cloud.points, cloud.points + [0, 0.05, 0]]))
    write_cloud(near, tmp_path / f"b.{suffix}")
    assert len(np.unique(read_cloud(tmp_path / f"b.{suffix}").points, axis=0)) == 200
    assert "64 bits" in near.source.notes[0]


def test_carry_follows_the_inverse_distance() -> None:
    cloud = Cloud(np.array([[0.0, 0, 0], [3, 0, 0], [0, 100, 0]]), {"value": np.array([0.0, 30.0, 0.0])})
    (value,) = carry(cloud, np.array([[1.0, 0, 0]])).attributes["value"]
    weights = 1 / np.array([1.0, 2.0, np.hypot(1, 100)])
    assert value == pytest.approx(30 * weights[1] / weights.sum())


def test_carry_lets_neither_opposite_normals_cancel_nor_missing_values_spread() -> None:
    normals = np.array([[0.0, 0, 1], [0, 0, -1], [0, 0, 1]])
    cloud = Cloud(np.eye(3), {"normals": normals, "value": np.array([1.0, np.nan, 3.0])})
    new = carry(cloud, np.full((1, 3), 0.3) + [[0.05, 0, 0]])
    np.testing.assert_allclose(abs(new.attributes["normals"]), [[0, 0, 1]])
    assert new.attributes["value"][0] == 1.0


@pytest.mark.parametrize("name", ["kitti_000000.bin", "kitti_000008.bin", "nuscenes_LIDAR_TOP.pcd.bin"])
def test_real_lidar_is_written_back_byte_for_byte(name: str, shared: Path, tmp_path: Path) -> None:
    original = shared / "data/cloud/lidar" / name
    cloud = read_cloud(original)
    width = 5 if "nuscenes" in name else 4
    table = np.fromfile(original, "<f4").reshape(-1, width)
    np.testing.assert_array_equal(cloud.points, table[:, :3])
    np.testing.assert_array_equal(cloud.attributes["intensity"], table[:, 3])
    write_cloud(cloud, tmp_path / name)
    assert (tmp_path / name).read_bytes() == original.read_bytes()
    write_cloud(cloud, tmp_path / "a.pcd")
    assert_same(cloud, read_cloud(tmp_path / "a.pcd"))


SCANS = {
    "ism_train_cat": (3400, 0), "lamppost": (1771, 0), "milk": (12575, 0), "person": (242749, 64451),
    "region_growing_rgb_tutorial": (259847, 47353), "room_scan1": (112586, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", SCANS)
def test_real_scans_are_the_same_after_writing(name: str, shared: Path, tmp_path: Path) -> None:
    cloud = read_cloud(shared / f"data/cloud/scans/{name}.pcd")
    assert (len(cloud.points), cloud.source.dropped) == SCANS[name]
    assert ("colour" in cloud.attributes) == (name in ("milk", "region_growing_rgb_tutorial"))
    for suffix in ("pcd", "ply"):
        write_cloud(cloud, tmp_path / f"a.{suffix}")
        assert_same(cloud, read_cloud(tmp_path / f"a.{suffix}"))
