"""The picture of `sentio live` in the documentation: its page in a browser whose camera plays the clip of the package.

    python tools/shoot_live.py docs/live.png

Nobody in the clip exists. It needs the extra dev and a Chromium. `--narrow` and `--dark` make other pictures of it.
"""

import argparse
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import av

from sentio.affect.analysis.options import Options
from sentio.affect.live import choice
from sentio.affect.live.server import Server
from sentio.affect.live.session import Settings

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
WIDE, NARROW = (1440, 900), (390, 844)
SMILES = "#expressions .on[data-column=p_happiness]"


def fake_devices(clip: Path, folder: Path) -> tuple[str, ...]:
    """Flags of a Chromium whose camera and microphone play a clip again and again, from files in this folder."""
    camera, microphone = folder / f"{clip.stem}.y4m", folder / f"{clip.stem}.wav"
    with av.open(str(clip)) as media, camera.open("wb") as pictures:
        video = media.streams.video[0]
        rate = video.average_rate
        header = f"YUV4MPEG2 W{video.width} H{video.height} F{rate.numerator}:{rate.denominator} Ip A1:1 C420\n"
        pictures.write(header.encode())
        for frame in media.decode(video):
            pictures.write(b"FRAME\n" + frame.to_ndarray(format="yuv420p").tobytes())
    with av.open(str(clip)) as media, av.open(str(microphone), "w") as sound:
        track = sound.add_stream("pcm_s16le", rate=48_000, layout="mono")
        resampler = av.AudioResampler("s16", "mono", 48_000)
        for frame in media.decode(audio=0):
            sound.mux([packet for part in resampler.resample(frame) for packet in track.encode(part)])
        sound.mux(track.encode())
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
        f"--use-file-for-fake-audio-capture={microphone}",
    )


def shoot(browser: Any, url: str, path: Path, *, size: tuple[int, int], dark: bool) -> None:
    """Let the page run for a while, name the person, record, mark, and take its picture at a smile."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light", device_scale_factor=1
    )
    page.goto(url)
    page.click("#card-action")
    page.wait_for_selector("#persons input[type=text]")
    page.fill("#persons input[type=text]", "Noor")
    page.wait_for_timeout(12_000)
    page.click("#record")
    page.wait_for_timeout(4_000)
    page.fill("#mark-label", "question")
    page.click("#mark")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(3_000)
    page.wait_for_selector(SMILES)
    page.wait_for_timeout(400)
    page.screenshot(path=path, full_page=size == NARROW)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """A server with the models as users have them; gives the address of its page."""
    model, titles = choice.choose()
    server = Server(Settings(Options(model=model, causal=True), titles, Path("live"), ("parquet",)))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()


def main() -> None:
    """Serve, look, shoot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--narrow", action="store_true")
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args()
    path, size = given.path.resolve(), NARROW if given.narrow else WIDE
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),  # for the page shows the path of the camera's file as its name
        serving() as url,
        sync_playwright() as playwright,
    ):
        devices = fake_devices(Path(str(files("sentio") / "assets" / "demo.mp4")), Path())
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*FLAGS, *devices])
        shoot(browser, url, path, size=size, dark=given.dark)
        browser.close()


if __name__ == "__main__":
    main()
