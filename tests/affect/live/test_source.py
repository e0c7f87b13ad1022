"""Files in real time with their sound, and cameras; only the device is made up."""

import threading
import time
import wave

import cv2
import numpy as np
import pytest

from live_client import Client, pixels_of, serving
from sentio.affect.live.source import Camera, Control, File, Shown, open_source
from sentio.affect.media import SAMPLE_RATE, AudioBlock, open_media
from sentio.core.errors import InputError


class Device:
    """What OpenCV gives for a camera: ``pictures`` of them, then nothing; busy while another one is open."""

    pictures = 1_000_000
    size = (48, 64)
    in_use = 0

    def __init__(self, number: int) -> None:
        self.opened = number == 0 and Device.in_use == 0
        Device.in_use += self.opened
        self.left = Device.pictures

    def isOpened(self) -> bool:
        return self.opened

    def read(self):
        time.sleep(0.01)
        self.left -= 1
        if self.left < 0:
            return False, None
        picture = np.zeros((*Device.size, 3), np.uint8)
        picture[..., 0] = 200  # OpenCV has blue first
        return True, picture

    def release(self) -> None:
        Device.in_use -= self.opened
        self.opened = False


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Device)
    monkeypatch.setattr(Device, "pictures", 1_000_000)
    yield Device
    assert Device.in_use == 0, "a camera was left open"


def played(source) -> list:
    items: list = []
    source.play(items.append, Control())
    return items


def test_a_file_gives_all_pictures_each_behind_the_sound_before_it(clips) -> None:
    path = clips / "talking.mp4"
    items = played(open_source(str(path)))
    with open_media(path) as media:
        frames, (samples, begin_s) = list(media), media.waveform()
    shown = [item for item in items if isinstance(item, Shown)]
    assert [item.frame.time_s for item in shown] == [frame.time_s for frame in frames]
    assert all(np.array_equal(a.frame.image, b.image) for a, b in zip(shown, frames, strict=True))
    assert np.abs(pixels_of(shown[0].jpeg).astype(float) - frames[0].image).mean() < 5
    blocks = [item for item in items if isinstance(item, AudioBlock)]
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), samples)
    heard_s = begin_s
    for item in items:
        if isinstance(item, AudioBlock):
            assert item.time_s == pytest.approx(heard_s, abs=1e-9)
            heard_s = item.time_s + len(item.samples) / SAMPLE_RATE
        else:
            assert heard_s == pytest.approx(max(begin_s, item.frame.time_s), abs=1 / SAMPLE_RATE)


def test_a_file_is_played_in_its_own_time(clips) -> None:
    came: list[float] = []
    started = time.monotonic()
    open_source(str(clips / "talking.mp4")).play(lambda item: came.append(time.monotonic()), Control())
    assert came[-1] - started >= 2.9, "the clip lasts 2.96 s"


def test_a_file_that_is_stopped_ends_at_once(clips) -> None:
    control, items = Control(), []

    def take(item) -> None:
        items.append(item)
        control.stop.set()

    open_source(str(clips / "talking.mp4")).play(take, control)
    assert len(items) <= 2


def test_large_pictures_are_made_smaller_for_the_page_alone(device, monkeypatch) -> None:
    monkeypatch.setattr(device, "size", (900, 1600))
    monkeypatch.setattr(device, "pictures", 2)
    items: list = []
    with pytest.raises(InputError):
        Camera(0).play(items.append, Control())
    assert items[0].frame.size == (1600, 900) and pixels_of(items[0].jpeg).shape == (720, 1280, 3)


def test_what_has_no_pictures_is_refused(tmp_path) -> None:
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(bytes(SAMPLE_RATE))
    with pytest.raises(InputError, match="no pictures"):
        File(tmp_path / "sound.wav")
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(InputError, match=r"text\.mp4"):
        open_source(str(tmp_path / "text.mp4"))


def test_a_camera_that_is_busy_or_not_there_is_refused(device) -> None:
    taken = cv2.VideoCapture(0)
    with pytest.raises(InputError, match="Camera 0 cannot be opened") as caught:
        open_source("0")
    assert "another program uses it" in caught.value.what and "choose another number" in caught.value.fix
    taken.release()
    with pytest.raises(InputError, match="Camera 7 cannot be opened"):
        open_source("7")
    assert open_source("0").name == "camera 0"


@pytest.mark.skipif(not cv2.videoio_registry.getBackends(), reason="this OpenCV knows no cameras")
def test_a_camera_that_this_machine_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="Camera 99 cannot be opened"):
        open_source("99")


@pytest.mark.usefixtures("tiny_models")
def test_a_camera_is_shown_and_analyzed_until_it_is_unplugged(device, tmp_path, monkeypatch, capfd) -> None:
    camera = open_source("0")
    monkeypatch.setattr(device, "pictures", 40)
    with serving(tmp_path, source=camera) as server, Client(server.url) as page:
        assert page.open()["source"] == {"name": "camera 0", "sound": False}
        page.send("record", on=True)
        error = page.until("refused")
        page.until("ended")
        assert "was unplugged" in error["error"] and "recorded" in {message["type"] for message in page.seen}
        assert pixels_of(page.pictures[0][1])[0, 0].tolist() == pytest.approx([0, 0, 200], abs=8)
        frame = next(message for message in page.seen if message["type"] == "frame")
        assert frame["size"] == [64, 48] and frame["rows"][0]["reason"] == "no face"
        assert "was unplugged" in capfd.readouterr().err
        page.open()  # plugged in again
        page.until("frame")


@pytest.mark.usefixtures("tiny_models")
def test_a_second_page_does_not_take_the_camera_from_the_first(device, tmp_path) -> None:
    with serving(tmp_path, source=open_source("0")) as server, Client(server.url) as first:
        first.open()
        first.until("frame")
        with Client(server.url) as second:
            second.open()
            assert "used by another page" in second.until("refused")["error"]
            second.until("ended")
            first.until("frame")
            first.socket.close()
            while not second.open() or second.read()["type"] != "frame":
                pass


@pytest.mark.usefixtures("tiny_models")
def test_a_camera_is_held(device, tmp_path) -> None:
    with serving(tmp_path, source=open_source("0")) as server, Client(server.url) as page:
        page.open()
        page.until("frame")
        page.send("pause", on=True)
        page.until_quiet()
        page.send("pause", on=False)
        page.until("frame")


def test_a_held_source_tells_how_long() -> None:
    control = Control()
    control.pause(True)
    threading.Timer(0.2, control.pause, [False]).start()
    assert control.hold() >= 0.15
    assert control.hold() < 0.15
