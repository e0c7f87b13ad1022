"""The blocks of code on all pages run, in their order, on small things in a folder of the page's own.

What is not run stands in `NOT_RUN`, what is run shorter in `SHORTER`. A block of a page is run after those before it.
"""

import itertools
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("lightning", reason="needs the train extra")

from page_runs import PageRun, Rules
from page_world import PUBLISHED, THINGS, World, mentions
from pages import ALL, ROOT
from sentio.affect.media import open_media

NETWORK = "installs from the network; tests/test_release.py installs the package"
SUITE = "is what CI does besides"
NOT_RUN = {
    "python3 -m venv": NETWORK,
    ".venv/bin/pip": NETWORK,
    "pip install": NETWORK,
    "source": "enters an environment",
    "apt-get": "installs from the network",
    ".venv/bin/pytest": SUITE,
    ".venv/bin/ruff": SUITE,
    ".venv/bin/mypy": SUITE,
    "srun": "needs Slurm",
    "ray": "needs several machines; tests/core/test_cluster.py has a cluster of two nodes",
    "torchrun": "tests/core/test_processes.py starts two processes",
    "sentio live --source 0": "needs a camera",
    "sentio reproduce": "tests/affect/experiments and tests/points/experiments run the quick form of each",
    "python bench/disagreement.py make": "renders 72 films, which takes minutes",
    "python bench/voice.py folds": "takes a minute, however short its four trainings are",
}
"""Beginnings of commands that are not run, and why."""
FIT = "--set fit.steps=2 --set fit.batch_size=4 --set fit.workers=0 --set fit.device=cpu"
CLOUDS = (
    "--set fit.batch_size=1 --set data.procedural_shapes=0 --set data.clouds=4 --set data.patches=2 "
    "--set data.density=[700,800]"
)
SMALL = "--set model.encoder"
STUDENT = "--set model.network.encoder=small --set model.network.sound_features=16"
CLIP, WAV2VEC, AST = (name for name in PUBLISHED if "patch32" in name or "wav2vec2" in name or "ast" in name)
SHORTER = (
    (r"import generate\b", "import MovingPicture, generate"),
    (r"(Path\(\W+drawn\W+?\))\)", r"\1, MovingPicture(videos=4, seconds=3))"),
    (r"^(sentio train (?!.*--dry-run).*)$", rf"\1 {FIT}"),
    (r"^(sentio train recipes/pu_.*)$", rf"\1 {CLOUDS}"),
    (r"^(sentio train recipes/(?:fer_tuned|capnet|multitask).json (?!.*model.encoder).*)$", rf"\1 {SMALL}=small"),
    (r"^(sentio train .*resnet34.*)$", r"\1 --set data.validation_hop=50"),
    (r"^(sentio train recipes/multitask.json .*)$", r"\1 --set model.sound_features=16"),
    (r"^(sentio train recipes/multitask_student.json .*)$", rf"\1 {STUDENT}"),
    (r"^(sentio train recipes/crossattn.json (?!.*--dry-run)(?!.*--visual).*)$", rf"\1 --visual {CLIP}"),
    (r"^(sentio train recipes/crossattn.json (?!.*--dry-run)(?!.*--audio).*)$", rf"\1 --audio {WAV2VEC}"),
    (r"^(sentio train recipes/softprompt.json (?!.*--dry-run).*)$", rf"\1 --visual {CLIP} --audio {AST}"),
    (r"^(sentio features .*) --fetch$", r"\1"),
    (r"^(sentio .* --out .*|sentio features .*) --ray auto$", r"\1"),
    (r"^(sentio synth .*)--videos \d+ --seconds 6", r"\1--workers 1 --videos 5 --seconds 1.2"),
    (r"^(sentio synth .*)--images \d+", r"\1--workers 1 --images 24"),
    (r"--people \d+", "--people 4"),
    (r"videos=200, images=24_000", "videos=2, images=24, seconds=1, workers=1"),
    (r"^(sentio upsample chair.off) ", r"\1 --points 8200 "),
    (r"^(python bench/disagreement.py read CLIPS --models offline),.*$", r"\1"),
    (r"^(python bench/audiovisual.py .*)$", r"\1 --seeds 1 --set fit.steps=2 --set fit.batch_size=4"),
    (r"^(sentio evaluate pu-any (?:(?!--starts).)*)(?: --starts \d+)?$", r"\1 --starts 1 --input-points 150"),
    (r"^(sentio upsample .*--points) \d+", r"\1 900"),
    (r"count=10\*\*6", "count=900"),
    (r"^(sentio live(?!.*--port).*)$", r"\1 --port 0"),
    (r"^(python -m sentio.core.export (?!.*--folder).*)$", r"\1 --folder exported"),
)
"""Patterns in commands and in Python, and what is run in their place."""

RUN = [block for block in ALL if block.kind in ("python", "shell")]
LINES = [shlex.join(words) for block in RUN if block.kind == "shell" for words in block.commands()]


def given():
    """Names that pages use for what a reader has."""
    with open_media(ROOT / "tests/clips/talking.mp4") as media:
        frames = list(itertools.islice(media, 8))
    return {
        "points": np.random.default_rng(0).normal(size=(300, 3)),
        "pictures": np.stack([frame.image for frame in frames]),
        "times": [frame.time_s for frame in frames],
        "picture": frames[0].image,
        "samples": np.zeros(8_000, np.float32),
        "time_s": 0.0,
        "features": np.zeros(256, np.float32),
    }


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """By page, what was run of it."""
    world, rules, found = World(tmp_path_factory.mktemp("world")), Rules(NOT_RUN, SHORTER), {}

    def of(page: Path) -> PageRun:
        if page not in found:
            found[page] = PageRun(page, tmp_path_factory.mktemp(page.stem), rules, world, given())
        return found[page]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN, ids=lambda block: block.name)
def test_a_block_runs(block, runs) -> None:
    outcome = runs(block.page).outcome(block)
    print(outcome.said)
    if outcome.error:
        raise outcome.error
    if not outcome.ran:
        pytest.skip("; ".join(dict.fromkeys(outcome.left)))


@pytest.mark.parametrize("begin", NOT_RUN)
def test_what_is_not_run_is_on_a_page(begin) -> None:
    assert any(f"{line} ".startswith(f"{begin} ") for line in LINES)


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in SHORTER])
def test_what_is_run_shorter_is_on_a_page(pattern) -> None:
    python = [block.text for block in RUN if block.kind == "python"]
    assert any(re.search(pattern, text) for text in (*LINES, *python))


@pytest.mark.parametrize("name", THINGS)
def test_what_is_made_for_the_pages_is_on_one(name) -> None:
    assert any(mentions(block.text, name) for block in RUN)


@pytest.mark.slow
def test_the_submissions_of_the_page_of_aff_wild2(runs) -> None:
    """They answer for what the lists ask, and are read back without an error."""
    page = runs(ROOT / "docs/aff-wild2.md")
    said = "".join(page.outcome(block).said for block in page.blocks)
    assert said.count(": 0 errors, 0 warnings") == 2 and "p_va" in said
    rows = (page.folder / "abaw6/va.txt").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == (page.folder / "LIST").read_text().splitlines()
    names = (page.folder / "VIDEOS").read_text().split()
    assert sorted(path.stem for path in (page.folder / "abaw2").iterdir()) == sorted(names)
    assert all(len(path.read_text().splitlines()) == 106 for path in (page.folder / "abaw2").iterdir())
