"""Pictures: the depth buffer against a loop, what hides what, and clouds that are easy to get wrong."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from sentio.core.errors import OutputError
from sentio.points import preview
from sentio.points.io import Cloud, Source, read_cloud
from sentio.points.preview import Camera, draw_attention, draw_cloud, draw_preview, place_camera

AHEAD = Camera(np.zeros(3), np.eye(3))


def ball(count: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def ink(image: np.ndarray) -> np.ndarray:
    """Pixels below the label that are not the paper of objects."""
    return (abs(image[preview.STRIP :].astype(int) - 250).max(axis=2) > 12)[:, :-1]


def test_splats_are_those_of_a_loop_over_pixels() -> None:
    random = np.random.default_rng(1)
    points = random.uniform([-0.5, -0.4, 1], [0.5, 0.4, 3], (40, 3))
    radius, size = np.full(40, 0.06), (40, 30)
    index, depth = preview._splat(points, AHEAD, radius, (0.7, 8.0), size)
    pixels, depths = AHEAD.project(points, size)
    for row in range(size[1]):
        for column in range(size[0]):
            near = np.inf, -1
            for i in range(40):
                reach = np.clip(0.06 * AHEAD.focal * size[1] / depths[i], 0.7 * preview.FINE, 8 * preview.FINE)
                x, y = np.rint(pixels[i])
                if (column - x) ** 2 + (row - y) ** 2 <= reach**2:
                    near = min(near, (depths[i], i))
            assert (depth[row, column], index[row, column]) == near


def test_the_projection_is_a_pinhole() -> None:
    half = np.tan(np.radians(preview.FIELD_OF_VIEW / 2))
    points = np.array([[0, 0, 5], [0, half * 2, 2], [0, -half * 3, 3], [half, 0, 1]])
    pixels, depth = AHEAD.project(points, (200, 100))
    np.testing.assert_allclose(pixels, [[100, 50], [100, 100], [100, 0], [150, 50]])
    np.testing.assert_allclose(depth, [5, 2, 3, 1])


def test_the_nearer_surface_hides_the_farther_one_and_shows_its_colour() -> None:
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 60)), axis=-1).reshape(-1, 2)
    far = np.column_stack([grid, np.full(3600, 3.0)])
    near = np.column_stack([grid * 0.3, np.full(3600, 2.0)])
    colour = np.repeat(np.array([[0, 200, 0], [200, 0, 0]], dtype=np.uint8), 3600, axis=0)
    cloud = Cloud(np.concatenate([far, near]), {"colour": colour})
    image = draw_cloud(cloud, AHEAD, like=cloud).astype(int)
    height, width, _ = image.shape
    blue, green, red = image[height // 2, width // 2]
    assert red > green + 40 and red > blue + 40
    blue, green, red = image[height // 2 - 180, width // 2]
    assert green > red + 30


def test_before_and_after_share_viewpoint_and_splats(tmp_path: Path) -> None:
    draw_preview(Cloud(ball(300)), Cloud(np.concatenate([ball(300), ball(3000, 1)])), tmp_path / "a.png")
    image = cv2.imread(str(tmp_path / "a.png"))
    assert image.shape == (preview.PANEL[1] + preview.STRIP, 2 * preview.PANEL[0], 3)
    before, after = (ink(half) for half in np.split(image, 2, axis=1))
    assert 2 * before.sum() < after.sum()
    assert (before & after).sum() > 0.95 * before.sum()
    rows, columns = np.nonzero(after)
    assert 0.8 * preview.PANEL[1] < np.ptp(rows) < preview.PANEL[1]
    assert abs(columns.mean() - preview.PANEL[0] / 2) < 20


@pytest.mark.slow
def test_pictures_are_repeatable_and_do_not_depend_on_place_or_scale(tmp_path: Path) -> None:
    points = np.round(ball(500) * [1, 0.7, 0.3], 6)
    for name, moved in (("a", points), ("b", points), ("c", points * 1000 + [412345.0, 5312345.0, 431.0])):
        draw_preview(Cloud(moved), Cloud(moved), tmp_path / f"{name}.png")
    first, second, far = (cv2.imread(str(tmp_path / f"{name}.png")).astype(int) for name in "abc")
    np.testing.assert_array_equal(first, second)
    assert (abs(first - far).max(axis=2) > 8).mean() < 0.005


@pytest.mark.parametrize(
    "points", [np.zeros((1, 3)), np.ones((30, 3)), np.eye(3)[:2], np.outer(np.arange(9.0), [0, 1, 0])]
)
@pytest.mark.parametrize("source", [Source(), Source("kitti"), Source("pcd", width=9, height=2)])
def test_degenerate_clouds_are_drawn_all_the_same(
    points: np.ndarray, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "PANEL", (160, 120))
    cloud = Cloud(points, source=source)
    draw_preview(cloud, cloud, tmp_path / "a.png")
    assert cv2.imread(str(tmp_path / "a.png")) is not None


def test_behind_the_camera_there_is_nothing_to_see() -> None:
    cloud = Cloud(ball(100) - [0, 0, 5])
    assert (draw_cloud(cloud, AHEAD, like=cloud) == 250).all()


def test_scenes_are_seen_from_behind_and_above() -> None:
    random = np.random.default_rng(0)
    points = random.uniform([-40, -40, -2], [40, 40, 1], (500, 3))
    for kind in ("kitti", "pcd"):
        camera = place_camera(Cloud(points, source=Source(kind)))
        assert camera.position[0] < -20 and camera.position[2] > 10
        assert camera.axes[2] @ [1, 0, -1] > 0.9


@pytest.mark.slow
def test_attention_is_drawn_once_a_scale(tmp_path: Path) -> None:
    points = ball(200)
    even, single = np.full((200, 200), 1 / 200), np.zeros((200, 200))
    single[:, points[:, 1] > 0.6] = 1 / (points[:, 1] > 0.6).sum()
    paths = draw_attention(points, np.stack([even, single]), tmp_path / "maps")
    assert [path.name for path in paths] == ["attention_2.png", "attention_1.png"]
    flat, peaked = (cv2.imread(str(path))[preview.STRIP :, : preview.PANEL[0]].astype(int) for path in paths)
    assert flat.shape == (preview.PANEL[1], preview.PANEL[0], 3)
    yellow = (peaked[:, :, 2] > 180) & (peaked[:, :, 1] > 180) & (peaked[:, :, 0] < 120)
    rows = np.nonzero(yellow)[0]
    assert len(rows) > 200 and rows.mean() < preview.PANEL[1] / 2
    assert not ((flat[:, :, 2] > 180) & (flat[:, :, 0] < 120)).any()


def test_an_unwritable_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        draw_preview(Cloud(ball(9)), Cloud(ball(9)), tmp_path / "file" / "a.png")


@pytest.mark.parametrize("name", ["lidar/kitti_000008.bin", "lidar/nuscenes_LIDAR_TOP.pcd.bin", "scans/milk.pcd"])
@pytest.mark.slow
def test_real_scans_fill_the_picture(name: str, shared: Path, tmp_path: Path) -> None:
    cloud = read_cloud(shared / "data/cloud" / name)
    draw_preview(cloud, cloud, tmp_path / "a.png")
    image = cv2.imread(str(tmp_path / "a.png"))[preview.STRIP :, : preview.PANEL[0] - 1].astype(int)
    background = preview.DAY if "milk" in name else preview.NIGHT
    drawn = abs(image - background).max(axis=2) > 20
    quarters = [part.mean() for half in np.array_split(drawn, 2) for part in np.array_split(half, 2, axis=1)]
    assert min(quarters) > 0.005
