"""Which bare numbers are a sweep, and what is said of others."""

from pathlib import Path

import numpy as np
import pytest

from sentio.core.errors import InputError
from sentio.points.io import read_cloud

RANDOM = np.random.default_rng(0)
ROOM = RANDOM.normal(size=(240, 3)) * 5
BINS = {
    "doubles": (ROOM.astype("<f8").tobytes(), "other floats of 64 bits"),
    "doubles with intensity": (np.column_stack([ROOM, RANDOM.random(240)]).astype("<f8").tobytes(), "of 64 bits"),
    "no intensity": (ROOM.astype("<f4").tobytes(), "other floats of 32 bits"),
    "map coordinates": (np.column_stack([ROOM + 4e5, RANDOM.random(240)]).astype("<f4").tobytes(), "of 32 bits"),
    "random bytes": (RANDOM.bytes(4000), "do not look like coordinates"),
    "random bytes of no whole points": (RANDOM.bytes(4001), "do not look like coordinates"),
    "text": (b"1.25 2.5 3.75\n" * 80, "do not look like coordinates"),
}


@pytest.mark.parametrize("name", BINS)
def test_bytes_that_are_no_sweep_are_named(name: str, tmp_path: Path) -> None:
    data, reason = BINS[name]
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(InputError, match=reason):
        read_cloud(tmp_path / "a.bin")


def test_what_the_error_says_to_do_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cloud.bin").write_bytes(ROOM.astype("<f8").tobytes())
    with pytest.raises(InputError) as caught:
        read_cloud("cloud.bin")
    exec(caught.value.fix.partition(": ")[2], {"numpy": np})
    np.testing.assert_array_equal(read_cloud("cloud.npy").points, ROOM)


def test_a_named_format_is_believed(tmp_path: Path) -> None:
    far = np.column_stack([ROOM * 1e4, -RANDOM.random(240)]).astype("<f4")
    (tmp_path / "a.bin").write_bytes(far.tobytes())
    assert len(read_cloud(tmp_path / "a.bin", format="kitti").points) == 240


def test_many_random_files_are_no_sweep(tmp_path: Path) -> None:
    for seed in range(200):
        (tmp_path / "a.bin").write_bytes(np.random.default_rng(seed).bytes(80 * 16))
        with pytest.raises(InputError, match="no records"):
            read_cloud(tmp_path / "a.bin")


@pytest.mark.parametrize("brightness", [1.0, 255.0, 65535.0])
def test_sweeps_of_any_brightness_with_some_noise_are_read(brightness: float, tmp_path: Path) -> None:
    sweep = np.column_stack([ROOM * 5, RANDOM.random(240) * brightness]).astype("<f4")
    sweep[:5, :3], sweep[5:9, 0] = 0, np.nan
    sweep[9:12, 0] = 250
    (tmp_path / "a.bin").write_bytes(sweep.tobytes())
    assert len(read_cloud(tmp_path / "a.bin").points) == 236
