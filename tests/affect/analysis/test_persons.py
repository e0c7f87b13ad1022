"""Persons over time in the whole stream: any portions, people who leave and return, clips of all kinds."""

import json
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from media import steady, write_media
from sentio.affect.analysis.models import FaceScore, Models, ScoredFrame, open_models
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.persons import TemporalScorer
from sentio.affect.analysis.pipeline import analyze
from sentio.affect.analysis.rows import BRIDGED, frame_rows
from sentio.affect.analysis.stream import Stream
from sentio.affect.analysis.temporal import BRIDGED_S
from sentio.affect.faces.quality import Pose, Quality, Reason
from sentio.affect.faces.tracking import FaceFrame, TrackedFace
from sentio.affect.media import open_media
from sentio.affect.results.folder import Analysis
from sentio.affect.table import AU_COLUMNS, FURTHER_COLUMNS, P_COLUMNS
from sentio.core import jobs
from sentio.core.errors import WeightsError

pytestmark = pytest.mark.usefixtures("tiny_models")
READ = ("valence", "arousal", *P_COLUMNS, *AU_COLUMNS)
OVER_TIME = ("offline", "causal", "capnet")


def scored(persons: list[list[int]], rate: float = 30, seed: int = 0) -> list[ScoredFrame]:
    """A frame for each list of the persons in it, with random features of their faces."""
    random, frames = np.random.default_rng(seed), []
    quality = Quality(0.5, Reason.NONE, 30.0, 0.1, Pose(0, 0, 0))
    for number, here in enumerate(persons):
        faces = tuple(TrackedFace(p, (1, 2, 3, 4), 0.9, np.zeros((5, 2)), quality, np.zeros(1)) for p in here)
        found = FaceFrame(number, number / rate, (9, 9), faces)
        scores = tuple(
            FaceScore({"valence": 9.0, "au_45": 0.5}, features=random.normal(size=48).astype(np.float32)) for _ in here
        )
        frames.append(ScoredFrame(number, False, found, scores))
    return frames


def through(frames: list[ScoredFrame], name: str = "offline") -> list[ScoredFrame]:
    scorer = TemporalScorer(open_models(name).temporal)
    return [done for frame in frames for done in scorer.push(frame)] + scorer.flush()


def coming_and_going(frames: int, persons: int, seed: int) -> list[list[int]]:
    random = np.random.default_rng(seed)
    here = np.zeros((frames, persons), bool)
    for person in range(persons):
        edges = np.unique(random.integers(0, frames, 8))
        for k, (a, b) in enumerate(pairwise(edges)):
            here[a:b, person] = k % 2 == 0
    return [[int(p) for p in np.flatnonzero(row)] for row in here]


@pytest.mark.parametrize("name", OVER_TIME)
@pytest.mark.parametrize("seed", range(4))
def test_each_frame_comes_once_in_order_and_only_gaps_up_to_two_seconds_are_bridged(name, seed) -> None:
    persons = coming_and_going(500, 3, seed)
    given = through(scored(persons), name)
    assert [frame.number for frame in given] == list(range(500))
    for frame, here in zip(given, persons, strict=True):
        assert all(score.columns["valence"] != 9 and score.columns["au_45"] == 0.5 for score in frame.scores)
        bridged = []
        for person in set(range(3)) - set(here):
            before = [k for k in range(frame.number) if person in persons[k]]
            after = [k for k in range(frame.number, 500) if person in persons[k]]
            if before and after and (after[0] - before[-1]) / 30 <= BRIDGED_S + 1e-9:
                bridged.append(person)
        assert [person for person, _ in sorted(frame.bridged)] == (bridged if name == "offline" else [])


@pytest.mark.parametrize("name", OVER_TIME)
def test_nobody_is_scored_by_what_is_seen_of_another(name) -> None:
    both = through(scored([[0, 1]] * 180), name)
    frames = scored([[0, 1]] * 180)
    alone = [
        ScoredFrame(f.number, False, FaceFrame(f.number, f.faces.time_s, (9, 9), f.faces.faces[1:]), f.scores[1:])
        for f in frames
    ]
    alone = [frame.scores[0].columns for frame in through(alone, name)]
    assert alone == [frame.scores[1].columns for frame in both]


@pytest.mark.parametrize("name", ["causal", "capnet"])
def test_a_causal_model_decides_at_once_and_never_knows_what_comes(name) -> None:
    frames = scored(coming_and_going(200, 2, 7))
    scorer = TemporalScorer(open_models(name).temporal)
    given = [scorer.push(frame) for frame in frames]
    assert [len(now) for now in given] == [1] * 200 and scorer.flush() == []
    assert through(frames[:120], name) == [frame for now in given[:120] for frame in now]


def test_what_is_decided_never_changes_and_comes_within_a_window() -> None:
    frames = scored(coming_and_going(400, 2, 3))
    scorer, given = TemporalScorer(open_models("offline").temporal), []
    for number, frame in enumerate(frames):
        given += scorer.push(frame)
        assert number + 1 - len(given) <= 101
    cut = through(frames[:250])
    sure = len(cut) - 101
    assert cut[:sure] == given[:sure]


def test_a_bridged_row_has_a_person_and_values_and_no_face() -> None:
    given = through(scored([[0, 1]] * 30 + [[1]] * 20 + [[0, 1]] * 30))
    first, second = frame_rows("x", given[40])
    assert (first["person"], first["reason"], second["person"], second["reason"]) == (0, BRIDGED, 1, None)
    assert not {"face_x", "quality", "pose_yaw", *FURTHER_COLUMNS} & first.keys()
    assert all(isinstance(first[column], float) for column in READ) and isinstance(first["expression"], str)
    (row,) = frame_rows("x", through(scored([[0]] * 9 + [[]] * 9 + [[0]] * 9))[12])
    assert (row["person"], row["reason"]) == (0, BRIDGED)


def test_nobody_is_bridged_over_another_shot() -> None:
    frames = scored([[0, 1]] * 30 + [[1]] * 20 + [[0, 1]] * 30)
    for begins, bridged in ((30, 0), (40, 0), (50, 0), (10, 20), (60, 20)):
        faces = frames[begins].faces
        cut = ScoredFrame(begins, False, replace(faces, cut=True), frames[begins].scores)
        given = through([*frames[:begins], cut, *frames[begins + 1 :]])
        assert sum(len(frame.bridged) for frame in given) == bridged


def test_a_face_model_without_features_is_refused() -> None:
    frame = scored([[0]])[0]
    bare = ScoredFrame(0, False, frame.faces, (FaceScore({}),))
    with pytest.raises(WeightsError, match="features"):
        TemporalScorer(open_models("offline").temporal).push(bare)


@pytest.mark.parametrize("name", OVER_TIME)
@pytest.mark.parametrize("clip", ["pair.mp4", "returning.mp4", "empty.mp4", "cuts.mp4"])
@pytest.mark.slow
def test_the_stream_is_the_file_in_any_portions(clips, clip, name) -> None:
    options = Options(detector="haar", model=name, causal=name != "offline")
    expected = analyze(clips / clip, options=options)
    assert expected.header["temporal"]["name"] == name
    with open_media(clips / clip) as media:
        frames = list(media)
    whole = expected.arrow.select(["person", "frame", "reason", *READ]).to_pylist()
    for chunk in (1, 2, 7, 64):
        stream, rows = Stream(options), []
        for k in range(0, len(frames), chunk):
            rows += [row for frame in frames[k : k + chunk] for row in stream.push(frame)]
        rows += stream.flush()
        plain = [{key: row.get(key) for key in whole[0]} for row in rows]
        for row in plain:
            row |= {key: float(np.float32(row[key])) for key in READ if row[key] is not None}
        assert plain == whole


def test_somebody_who_leaves_and_returns_is_bridged(clips) -> None:
    table = analyze(clips / "returning.mp4", options=Options(detector="builtin", model="offline"))
    bridged = table["reason"] == BRIDGED
    gap = np.flatnonzero(bridged)
    assert len(gap) > 10 and (np.diff(gap) == 1).all() and not (table["reason"] == "no face").any()
    assert np.isnan(table["face_x"][bridged]).all() and np.isfinite(table["valence"]).all()
    causal = analyze(clips / "returning.mp4", options=Options(detector="builtin", model="causal", causal=True))
    assert (causal["reason"] == "no face").sum() >= len(gap)


@pytest.mark.parametrize("name", OVER_TIME)
def test_clips_of_one_frame_and_of_none_with_a_face_are_read(tmp_path, clips, name) -> None:
    options = Options(detector="haar", model=name)
    with open_media(clips / "talking.mp4") as media:
        picture = next(iter(media)).image
    table = analyze(picture, options=options)
    assert len(table) == 1 and table["person"][0] == 0 and np.isfinite(table["valence"][0])
    path = tmp_path / "one.mp4"
    write_media(path, times=steady(1))
    table = analyze(path, options=options)
    assert list(table["reason"]) == ["no face"] and np.isnan(table["valence"]).all()


@pytest.mark.parametrize("name", OVER_TIME)
def test_times_that_are_uneven_give_a_row_each(clips, name) -> None:
    with open_media(clips / "talking.mp4") as media:
        pictures = np.stack([frame.image for frame in media])[:40]
    times = np.cumsum(np.random.default_rng(0).uniform(0.005, 0.2, 40))
    table = analyze(pictures, times=times, options=Options(detector="haar", model=name))
    assert list(table["time_s"]) == times.tolist()
    seen = ~np.isnan(table["person"])
    assert seen.sum() > 30 and np.isfinite(table["valence"][seen]).all()


def test_a_causal_run_waits_for_no_frame(clips) -> None:
    with open_media(clips / "pair.mp4") as media:
        frames = list(media)
    stream = Stream(Options(detector="builtin", model="causal", causal=True))
    given = [stream.push(frame) for frame in frames]
    assert [{row["frame"] for row in rows} for rows in given] == [{number} for number in range(len(frames))]
    assert stream.flush() == []


def test_what_sees_the_future_is_refused_where_nothing_may() -> None:
    with pytest.raises(WeightsError, match="not causal"):
        open_models("offline", causal=True)
    assert open_models("face", causal=True).temporal is None


def test_a_model_that_reads_other_features_is_refused(tmp_path, tiny_models) -> None:
    import tiny_models as make

    card = make.write_temporal(tmp_path, "mine")
    assert open_models(str(card)).temporal.card.name == "mine"
    make.write_temporal(tmp_path, "mine", features=20)
    with pytest.raises(WeightsError, match="20 features"):
        open_models(str(card))


def test_a_model_that_stands_on_other_weights_is_refused(tmp_path) -> None:
    import tiny_models as make

    card = make.write_temporal(tmp_path, "mine")
    told = json.loads(card.read_text())
    for place, what in (("detector", "other weights 'detector'"), ("face", "no safetensors")):
        told["details"]["stands_on"] = {place: "0" * 64}
        card.write_text(json.dumps(told))
        with pytest.raises(WeightsError, match=what):
            open_models(str(card))
    told["details"]["stands_on"] = ["face"]
    card.write_text(json.dumps(told))
    with pytest.raises(WeightsError, match="stands_on is"):
        open_models(str(card))


def test_own_models_are_not_followed_over_time(clips) -> None:
    found = open_models("face")
    table = analyze(clips / "pair.mp4", options=Options("haar"), models=Models(found.face))
    assert table.header["temporal"] is None


def test_a_result_is_redone_when_the_model_over_time_is_another(tmp_path, clips) -> None:
    picture = tmp_path / "still.png"
    cv2.imwrite(str(picture), np.full((40, 40, 3), 9, np.uint8))

    def run(**options):
        analysis = Analysis(tmp_path / "out", Options(detector="haar", **options), ("csv",), resume=True)
        found = [
            jobs.Job(path, path.with_suffix(".sentio").relative_to(path.parent))
            for path in (clips / "empty.mp4", picture)
        ]
        return [analysis(job).state for job in found]

    assert run(model="offline") == ["done", "done"]
    assert run(model="offline") == ["skipped", "skipped"]
    assert run(model="causal") == ["done", "done"]
    assert run(model="auto") == ["done", "done"]
    assert run(model="auto") == ["skipped", "skipped"]
