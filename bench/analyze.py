"""Speed and memory of ``sentio analyze``.

    python bench/analyze.py speed [--detector yunet]    frames a second, per stage and end to end, 720p30
    python bench/analyze.py memory [--minutes 10]       resident memory over a long clip; --overlay: its film, too
    python bench/analyze.py overlay                     what the film of --overlay costs
    python bench/analyze.py report [--minutes 60]       time and size of a report, beside those of the tables
    python bench/analyze.py start                       import and help times

The clip is the demo clip's face, enlarged to 1280x720 at 30 frames a second, H.264, with its sound; faces and voice are
scored by the embedded models (``--model none`` for faces alone).
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import psutil

from sentio.affect.analysis.models import Models, open_models
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.pipeline import Reading
from sentio.affect.analysis.sources import DEMO_CLIP
from sentio.affect.analysis.voice import VoiceTrack
from sentio.affect.faces.detectors import NAMES, open_detector
from sentio.affect.faces.tracking import FaceTracker
from sentio.affect.media import SAMPLE_RATE, open_media
from sentio.affect.results.folder import Analysis, choose
from sentio.affect.results.outputs import DEFAULT
from sentio.core.bench import StageTimer, report
from sentio.core.runtime import usable_cores

RATE = 30


def make_clip(path: Path, seconds: float) -> Path:
    """The stretches of the demo clip with a face, there and back, enlarged to 720p."""
    with open_media(DEMO_CLIP) as media:
        frames = [cv2.resize(frame.image, (960, 720)) for frame in media if frame.index < 100]
        sound = np.resize(media.waveform()[0], round(seconds * SAMPLE_RATE))
    frames = [cv2.copyMakeBorder(frame, 0, 0, 160, 160, cv2.BORDER_REPLICATE) for frame in frames]
    cycle = frames + frames[::-1]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23"})
        voice = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number in range(round(seconds * RATE)):
            frame = av.VideoFrame.from_ndarray(cycle[number % len(cycle)], format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for begin in range(0, len(sound), SAMPLE_RATE):
            piece = av.AudioFrame.from_ndarray(sound[None, begin : begin + SAMPLE_RATE], "fltp", "mono")
            piece.sample_rate, piece.pts, piece.time_base = SAMPLE_RATE, begin, Fraction(1, SAMPLE_RATE)
            out.mux(voice.encode(piece))
        out.mux(voice.encode(None))
    return path


def stages_alone(path: Path, options: Options, models: Models) -> dict[str, float]:
    """Milliseconds per frame of each stage by itself, in one thread."""
    timer = StageTimer()
    with open_media(path) as media:
        with timer.stage("decode"):
            frames = [frame for frame in media if frame.image is not None]
        if models.voice:
            with timer.stage("voice"):
                track = VoiceTrack(models.voice)
                for block in media.audio():
                    track.push(block)
    tracker = FaceTracker(open_detector(options.detector))
    with timer.stage("faces"):
        decided = [faces for frame in frames for faces in tracker.push(frame.image, frame.time_s)] + tracker.flush()
    found = [(frame.time_s, face) for frame in decided for face in frame.faces]
    if models.face:
        with timer.stage("model"):
            models.face.score(found)
    return {name: 1e3 * total / len(frames) for name, total in timer.seconds.items()} | {
        "faces_a_second_of_the_model": len(found) / timer.seconds["model"] if models.face else 0.0,
        "share_with_face": sum(bool(frame.faces) for frame in decided) / len(frames),
    }


def speed(options: Options, repeats: int) -> None:
    models = open_models(options.model)
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "720p30.mp4", 10)
        analysis = Analysis(Path(folder), options)
        analysis.write(Path(folder) / "warm", clip)
        alone = [stages_alone(clip, options, models) for _ in range(repeats)]
        whole, processor = [], []
        for number in range(repeats):
            used = time.process_time()
            record = analysis.write(Path(folder) / f"run{number}", clip)
            whole.append(1e3 * record["seconds"] / record["frames"])
            processor.append(1e3 * (time.process_time() - used) / record["frames"])
    median = {name: statistics.median(run[name] for run in alone) for name in alone[0]}
    end_to_end = statistics.median(whole)
    stages = [median[name] for name in ("decode", "faces", "model", "voice") if name in median]
    figures = {
        "detector": options.detector,
        "model": options.model,
        "repeats": repeats,
        "ms_per_frame_alone": {name: round(value, 3) for name, value in median.items()},
        "ms_per_frame_end_to_end": round(end_to_end, 3),
        "processor_ms_per_frame": round(statistics.median(processor), 3),
        "share_of_the_cores": round(statistics.median(processor) / end_to_end / usable_cores(), 3),
        "frames_per_second": round(1e3 / end_to_end, 1),
        "times_real_time": round(1e3 / end_to_end / RATE, 2),
        "share_of_the_slowest_stage_alone": round(max(stages) / end_to_end, 3),
        "share_of_the_sum_on_one_core": round(sum(stages) / end_to_end, 3),
    }
    report("analyze speed, 720p30, one face", figures)


def overlay(options: Options, repeats: int) -> None:
    """Seconds that the film takes beyond the tables, and its size, for a minute of video."""
    seconds = 20
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "720p30.mp4", seconds)
        alone, both = Analysis(Path(folder), options), Analysis(Path(folder), options, (*DEFAULT, "overlay"))
        alone.write(Path(folder) / "warm", clip)
        taken = [[_timed(run, Path(folder) / "out", clip) for run in (alone, both)] for _ in range(repeats)]
        size = (Path(folder) / "out/overlay.mp4").stat().st_size
    (without, processor_without), (with_it, processor_with) = np.median(taken, axis=0).tolist()
    figures = {
        "model": options.model,
        "repeats": repeats,
        "seconds_a_minute_of_video_without": round(without * 60 / seconds, 2),
        "seconds_a_minute_of_video_for_the_film": round((with_it - without) * 60 / seconds, 2),
        "processor_seconds_a_minute_of_video_without": round(processor_without * 60 / seconds, 2),
        "processor_seconds_a_minute_of_video_for_the_film": round(
            (processor_with - processor_without) * 60 / seconds, 2
        ),
        "times_real_time_with_the_film": round(seconds / with_it, 2),
        "megabytes_a_minute_of_film": round(size / 1e6 * 60 / seconds, 1),
    }
    report("analyze --overlay, 720p30, one face", figures)


def _timed(analysis: Analysis, folder: Path, clip: Path) -> tuple[float, float]:
    """Seconds, and seconds of the processor, that an analysis takes."""
    used = time.process_time()
    return analysis.write(folder, clip)["seconds"], time.process_time() - used


def pages(options: Options, minutes: float) -> None:
    """What the report of a long file takes; its rows are those of the demo clip, again and again."""
    reading = Reading(DEMO_CLIP, options)
    rows, frames = list(reading.read()), round(minutes * 60 * RATE)
    figures: dict[str, object] = {"model": options.model, "minutes_of_video": minutes, "rows": frames}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("parquet", "csv", "report"):
            [output] = choose((name,), options, reading.info, reading.path).outputs
            path, begin = Path(folder) / output.file, time.perf_counter()
            with output.write(path, reading) as write_row:
                for number in range(frames):
                    write_row(rows[number % len(rows)] | {"time_s": number / RATE})
            figures[f"{name}_microseconds_a_row"] = round(1e6 * (time.perf_counter() - begin) / frames, 1)
            figures[f"{name}_megabytes"] = round(path.stat().st_size / 1e6, 1)
    report("analyze, writing", figures)


def memory(options: Options, minutes: float, outputs: tuple[str, ...]) -> None:
    """Resident memory of this process while it reads a long clip, by quarter."""
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "long.mp4", 60 * minutes)
        sizes: list[tuple[float, float]] = []
        done = threading.Event()
        watcher = threading.Thread(target=lambda: sizes.extend(_watch(done)))
        watcher.start()
        record = Analysis(Path(folder), options, outputs).write(Path(folder) / "out", clip)
        done.set()
        watcher.join()
    warm = [(moment, size) for moment, size in sizes if moment > sizes[-1][0] / 10]
    quarters = [float(np.median([size for _, size in part])) for part in _quarters(warm)]
    moments, values = np.array(warm).T
    figures = {
        "detector": options.detector,
        "model": options.model,
        "outputs": outputs,
        "minutes_of_video": minutes,
        "frames": record["frames"],
        "seconds": record["seconds"],
        "resident_mb_by_quarter": [round(value, 1) for value in quarters],
        "growth_last_over_first_quarter": round(quarters[-1] / quarters[0] - 1, 4),
        "mb_per_minute_of_video": round(float(np.polyfit(moments, values, 1)[0]) * record["seconds"] / minutes, 4),
    }
    report("analyze memory", figures)


def _watch(done: threading.Event) -> Iterator[tuple[float, float]]:
    process, start = psutil.Process(), time.perf_counter()
    while not done.wait(0.25):
        yield time.perf_counter() - start, process.memory_info().rss / 2**20


def _quarters(items: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    edges = np.linspace(0, len(items), 5).astype(int)
    return [items[low:high] for low, high in pairwise(edges)]


def start() -> None:
    commands = {"import sentio": ["-c", "import sentio"], "sentio --help": ["-m", "sentio", "--help"]}
    figures = {}
    for name, command in commands.items():
        times = []
        for _ in range(11):
            begin = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            times.append(time.perf_counter() - begin)
        figures[f"{name}, median of 11, s"] = round(statistics.median(times), 3)
    report("start", figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory", "overlay", "report", "start"])
    parser.add_argument("--detector", choices=["auto", *NAMES], default="auto")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--overlay", action="store_true")
    chosen = parser.parse_args()
    options = Options(detector=chosen.detector, model=chosen.model)
    if chosen.what == "speed":
        speed(options, chosen.repeats)
    elif chosen.what == "memory":
        memory(options, chosen.minutes, (*DEFAULT, "overlay") if chosen.overlay else DEFAULT)
    elif chosen.what == "report":
        pages(options, chosen.minutes)
    elif chosen.what == "overlay":
        overlay(options, chosen.repeats)
    else:
        start()


if __name__ == "__main__":
    main()
