"""Lines in the place of a bar where there is no terminal."""

from sentio.core import progress
from sentio.core.progress import duration, track


def test_a_line_every_ten_seconds(capsys) -> None:
    now = [0.0]
    lines = progress._Lines("reading", lambda: now[0])
    for second in range(0, 35, 5):
        now[0] = float(second)
        lines(second, 100, "clip.mp4")
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "reading: clip.mp4, 10 %, about 90 s left".replace("90 s", "2 min")
    assert len(shown) == 3


def test_short_work_says_nothing(capsys) -> None:
    assert list(track([1, 2, 3], "work")) == [1, 2, 3]
    assert capsys.readouterr().err == ""


def test_lengths_of_time() -> None:
    assert [duration(s) for s in (4.4, 89, 90, 5399, 5400)] == ["4 s", "89 s", "2 min", "90 min", "1.5 h"]
