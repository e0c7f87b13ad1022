"""What a run leaves in its folder: one list, `EVERYTHING`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import pyarrow as pa
from pyarrow import csv

from sentio.affect.analysis.rows import CROP, Row
from sentio.affect.analysis.sources import DEMO_CLIP, DEMO_TRUTH
from sentio.affect.media import Info
from sentio.affect.results import overlay, plot
from sentio.affect.results.annotations import Annotations, tiers_of
from sentio.affect.results.captions import SHORTEST_CUE_S, write_vtt
from sentio.affect.results.elan import write_eaf
from sentio.affect.results.episodes import SHORTEST_S, Episode, Episodes, unit_thresholds
from sentio.affect.results.origin import Origin
from sentio.affect.results.praat import write_textgrid
from sentio.affect.results.report import write_report
from sentio.affect.table import AFFECT, LANDMARKS
from sentio.core.results import RowBuffer, Schema, open_writers
from sentio.core.writers import WRITERS, refusals_told

WriteRow = Callable[[Row], None]


@dataclass(frozen=True)
class Output:
    """One product of a run.

    Attributes:
        name: what asks for it.
        file: its name in the folder; of a file, or of a folder of files.
        write: given the path and the origin of the rows, takes one after the other; the file is whole when all went
            well. The path is on a stage; where it will lie in the end, the origin knows.
        beside: another file that comes with it.
        suits: whether it can be made of media that hold this.
        rereads: it needs the media once more when all rows are known, and so a file.
        depends_on: names of options that change what is in it, but no row.
    """

    name: str
    file: str
    write: Callable[[Path, Origin], AbstractContextManager[WriteRow]]
    beside: str | None = None
    suits: Callable[[Info], bool] = lambda info: True
    rereads: bool = False
    depends_on: tuple[str, ...] = ()

    @property
    def files(self) -> list[str]:
        """Names of all that it leaves."""
        return [self.file] if self.beside is None else [self.file, self.beside]


@contextmanager
def _write_table(schema: Schema, path: Path, origin: Origin) -> Iterator[WriteRow]:
    with open_writers([path], schema.arrow(), partial(origin.header, schema)) as write:
        rows = RowBuffer(schema.arrow(), write)
        yield rows.append
        rows.flush()


@contextmanager
def _draw_plot(path: Path, origin: Origin) -> Iterator[WriteRow]:
    """Made from all scores at once, which takes 0.1 kB of memory a row."""
    batches: list[pa.RecordBatch] = []
    rows = RowBuffer(plot.SCHEMA, batches.append)
    yield rows.append
    rows.flush()
    is_demo = origin.path is not None and origin.path.resolve() == DEMO_CLIP
    truth = csv.read_csv(DEMO_TRUTH) if is_demo else None
    names = origin.header(AFFECT).get("names")
    plot.draw(pa.Table.from_batches(batches, plot.SCHEMA), path, title=origin.name, names=names, truth=truth)


@contextmanager
def _write_episodes(
    write: Callable[[Path, Annotations], None], shortest_s: float, path: Path, origin: Origin
) -> Iterator[WriteRow]:
    """Made from all episodes at once, of which there are few."""
    episodes = Episodes(unit_thresholds(origin.header(AFFECT)), shortest_s)
    found: list[Episode] = []
    yield lambda row: found.extend(episodes.push(row))
    found += episodes.flush()
    header = origin.header(AFFECT)
    write(path, Annotations(tiers_of(found, origin.info.begin_s), header, origin.path, origin.folder))


@contextmanager
def _write_crops(path: Path, origin: Origin) -> Iterator[WriteRow]:
    """As Aff-Wild2 lays them out: a folder for each person, and frame k, from 0, is image k + 1."""
    clip = Path(origin.name).stem

    def write(row: Row) -> None:
        if CROP in row:
            person = path / (f"{clip}_person{row['person']}" if row["person"] else clip)
            jpeg = cv2.imencode(".jpg", cv2.cvtColor(row[CROP], cv2.COLOR_RGB2BGR))[1]
            with refusals_told(person):
                person.mkdir(exist_ok=True)
                (person / f"{row['frame'] + 1:05d}.jpg").write_bytes(jpeg.tobytes())

    with refusals_told(path):
        path.mkdir()
    yield write


def _has_length(info: Info) -> bool:
    return info.has_length


def _tables(file: str, schema: Schema) -> Iterator[Output]:
    """One table in every format; only Parquet holds its header itself."""
    for suffix in WRITERS:
        beside = None if suffix == ".parquet" else f"{file}{suffix}.header.json"
        yield Output(suffix[1:], f"{file}{suffix}", partial(_write_table, schema), beside)


TABLES = tuple(_tables("affect", AFFECT))
OUTPUTS = (
    *TABLES,
    Output("vtt", "affect.vtt", partial(_write_episodes, write_vtt, SHORTEST_CUE_S), suits=_has_length),
    Output("eaf", "affect.eaf", partial(_write_episodes, write_eaf, SHORTEST_S), suits=_has_length),
    Output("textgrid", "affect.TextGrid", partial(_write_episodes, write_textgrid, SHORTEST_S), suits=_has_length),
    Output("report", "report.html", write_report, suits=_has_length, depends_on=("embed_video",)),
    Output("plot", "affect.svg", _draw_plot),
    Output("overlay", "overlay.mp4", overlay.write_overlay, suits=overlay.suits, rereads=True),
)
"""All that can be asked for by name."""
LANDMARK_TABLES = tuple(_tables("landmarks", LANDMARKS))
"""Written beside the tables of the same formats if the options ask for landmarks."""
CROPS = Output("crops", "cropped_aligned", _write_crops)
"""Written if the options ask for crops."""
EVERYTHING = (*OUTPUTS, *LANDMARK_TABLES, CROPS)
"""All that a run can leave."""
DEFAULT = ("parquet", "csv", "report")
"""Names of what is written if nothing else is asked for."""
