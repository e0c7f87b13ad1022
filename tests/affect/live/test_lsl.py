"""The outlet of the Lab Streaming Layer, read back by a real inlet on this machine."""

import sys
import time

import numpy as np
import pytest

from sentio import stream
from sentio.affect.analysis.options import Options
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.live import lsl
from sentio.affect.live.lsl import CHANNELS, LslOutlet
from sentio.affect.media import open_media
from sentio.affect.table import AFFECT
from sentio.core.errors import InputError, MissingExtraError

ROWS = [
    {
        "file": "stream",
        "frame": 7,
        "time_s": 0.25,
        "person": 1,
        "valence": 0.5,
        "expression": "Fear",
        "reason": "small",
    },
    {"file": "stream", "frame": 7, "time_s": 0.25, "person": 2, "au_12": 0.75, "voice_expression": "Neutral"},
    {"file": "stream", "frame": 8, "time_s": 0.5, "reason": "no face", "speech": 0.125},
]
NAMES = [column.name for column in CHANNELS]


@pytest.fixture(scope="module")
def pylsl():
    module = pytest.importorskip("pylsl", reason="needs the extra lsl", exc_type=(ImportError, RuntimeError))
    module.set_config_content("[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n")
    return module


def connect(pylsl, name: str):
    """An inlet whose connection stands, so that it gets all that is sent from now on."""
    found = pylsl.resolve_byprop("name", name, timeout=30)
    assert len(found) == 1, f"{len(found)} streams of the name {name}"
    inlet = pylsl.StreamInlet(found[0], recover=False)
    inlet.open_stream(timeout=30)
    return inlet


def pull(inlet, count: int) -> tuple[np.ndarray, list[float]]:
    pulled = [inlet.pull_sample(timeout=30) for _ in range(count)]
    return np.array([values for values, _ in pulled]), [time_s for _, time_s in pulled]


def test_an_inlet_reads_values_names_units_and_times(pylsl) -> None:
    now = pylsl.local_clock()
    with LslOutlet(now_s=100.0, name="sentio test", model="face") as outlet:
        inlet = connect(pylsl, "sentio test")
        outlet.push(ROWS[:2])
        outlet.push([])
        outlet.push(ROWS[2:])
        values, times = pull(inlet, 3)
        info = inlet.info(timeout=30)
    assert (info.type(), info.nominal_srate(), info.channel_count()) == ("Affect", 0.0, len(CHANNELS))
    assert info.get_channel_labels() == NAMES and {"time_s", "file", "reason"}.isdisjoint(NAMES)
    units = dict(zip(NAMES, info.get_channel_units(), strict=True))
    assert units["face_x"] == "px" and units["au_12"] == "probability" and "4 Happiness" in units["expression"]
    assert info.desc().child("acquisition").child_value("model") == "face"
    wanted = np.full((3, len(NAMES)), np.nan, np.float32)
    for sample, row in zip(wanted, ROWS, strict=True):
        for name in row.keys() & set(NAMES):
            text = isinstance(row[name], str)
            sample[NAMES.index(name)] = EXPRESSIONS.index(row[name]) if text else row[name]
    assert np.array_equal(values, wanted, equal_nan=True)
    assert np.diff(times) == pytest.approx([0.0, 0.25], abs=1e-6)
    assert now - 99.75 <= times[0] <= pylsl.local_clock() - 99.75, "times are on the clock of all streams"


def test_what_opening_takes_does_not_make_times_late(pylsl, monkeypatch) -> None:
    clock, opened = [5.0], pylsl.StreamOutlet
    monkeypatch.setattr(pylsl, "local_clock", lambda: clock[0])

    def open_slowly(info):
        clock[0] += 3.0
        return opened(info)

    monkeypatch.setattr(pylsl, "StreamOutlet", open_slowly)
    with LslOutlet(now_s=100.0, name="sentio slow") as outlet:
        inlet = connect(pylsl, "sentio slow")
        outlet.push([{"frame": 1, "time_s": 100.0}])
        _, times = pull(inlet, 1)
    assert times == pytest.approx([5.0], abs=1e-6)


def test_a_clip_that_is_pushed_arrives(pylsl, clips) -> None:
    rows, pictures = stream(Options(detector="haar", model="none")), open_media(clips / "pair.mp4", end=0.4)
    sent = []
    with LslOutlet(now_s=0.0, name="sentio clip") as outlet:
        inlet = connect(pylsl, "sentio clip")
        for decided in (*(rows.push(frame) for frame in pictures), rows.flush()):
            outlet.push(decided)
            sent += decided
        values, times = pull(inlet, len(sent))
    assert len(sent) >= 20
    assert values[:, NAMES.index("frame")].tolist() == [row["frame"] for row in sent]
    assert np.array_equal(values, lsl.samples(sent), equal_nan=True)
    assert np.diff(times) == pytest.approx(np.diff([row["time_s"] for row in sent]), abs=1e-6)


def test_a_closed_outlet_is_gone_and_takes_nothing(pylsl) -> None:
    outlet = LslOutlet(now_s=0.0, name="sentio gone")
    inlet = connect(pylsl, "sentio gone")
    outlet.close()
    outlet.push(ROWS)
    outlet.close()
    deadline = time.monotonic() + 30
    while pylsl.resolve_byprop("name", "sentio gone", timeout=0.5) and time.monotonic() < deadline:
        pass
    assert not pylsl.resolve_byprop("name", "sentio gone", timeout=0.5)
    with pytest.raises(pylsl.util.LostError):
        while time.monotonic() < deadline:
            assert inlet.pull_sample(timeout=0.5)[0] is None


def test_all_numbers_of_the_table_are_channels() -> None:
    texts = {column.name for column in AFFECT.columns if column.kind == "string"}
    assert set(NAMES) == {column.name for column in AFFECT.columns} - texts - {"time_s"} | set(lsl.CLASSES)
    assert lsl.samples([]).shape == (0, len(CHANNELS))


def test_what_cannot_be_is_refused(monkeypatch) -> None:
    with pytest.raises(InputError, match="name"):
        LslOutlet(now_s=0.0, name=" ")
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(MissingExtraError, match="pylsl"):
        lsl.load()


def test_pylsl_without_its_library_says_so(tmp_path, monkeypatch) -> None:
    (tmp_path / "pylsl.py").write_text("raise RuntimeError('LSL binary library file was not found.')")
    monkeypatch.delitem(sys.modules, "pylsl", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="liblsl"):
        lsl.load()
