"""The picture of a report in the README: the demo clip's, in a window of Chromium, wide and light.

    python tools/shoot_report.py docs/report.png

Needs the dev extra and a chromium.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

from sentio.affect.analysis.options import Options
from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.results.folder import Analysis

SIZE = (1360, 1012)
MOMENT_S = 2.0
"""At which the clip smiles."""
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu"]


def shoot(report: Path) -> bytes:
    """A PNG of the upper part of a report, with the cursor at `MOMENT_S`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        size = {"width": SIZE[0], "height": SIZE[1]}
        page = browser.new_page(viewport=size, color_scheme="light", bypass_csp=True)  # for the waiting below
        page.goto(report.as_uri())
        page.wait_for_function("document.querySelector('video').readyState >= 2")
        page.evaluate(f"document.querySelector('video').currentTime = {MOMENT_S}")
        page.evaluate("document.querySelector('video').controls = false")
        page.wait_for_function(f"document.getElementById('tracks').ariaValueNow > {MOMENT_S - 0.1}")
        page.wait_for_timeout(500)
        picture = page.screenshot()
        browser.close()
    return picture


def main() -> None:
    """Make the report, and the picture of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(shutil.copy(DEMO_CLIP, folder))
        Analysis(Path(folder), Options(), ("report",)).write(Path(folder) / "demo.mp4.sentio", source)
        png = shoot(Path(folder) / "demo.mp4.sentio" / "report.html")
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(arguments.picture), image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(arguments.picture, f"{arguments.picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
