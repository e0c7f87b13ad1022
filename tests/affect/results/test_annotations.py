"""Captions, ELAN and Praat files: opened by the readers of their own tools, and true to the episodes."""

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from media import steady, tone, write_media
from sentio import stream
from sentio.affect.analysis.options import Options
from sentio.affect.labels import EXPRESSIONS
from sentio.affect.results import captions, elan, praat
from sentio.affect.results.annotations import Annotations, tiers_of
from sentio.affect.results.episodes import EXPRESSION, FACE, VOICE, Episode, Episodes, unit_thresholds
from sentio.affect.results.folder import Analysis
from sentio.core.results import Table

pympi = pytest.importorskip("pympi", reason="needs the dev extra")
textgrid = pytest.importorskip("praatio.textgrid", reason="needs the dev extra")
webvtt = pytest.importorskip("webvtt", reason="needs the dev extra")

WRITERS = {"vtt": captions.write_vtt, "eaf": elan.write_eaf, "TextGrid": praat.write_textgrid}
HOSTILE = 'a --> b\n\nNOTE <i>&amp;"\x07\x1b ]]> é\u2028.mp4'


def episode(kind: str, label: str, start_s: float, end_s: float, person: int | None = 0, **means: float) -> Episode:
    return Episode(person, kind, label, start_s, end_s, means)


EPISODES = [
    episode(FACE, "fit", 10.0, 12.5, quality=0.5),
    episode(EXPRESSION, "Fear", 11.2504, 12.5, valence=-0.004, arousal=0.996),
    episode(EXPRESSION, "Happiness", 10.0, 11.2504, valence=0.62, arousal=-0.31),
    episode("AU12", "AU12", 10.5, 11.0, au_12=0.9),
    episode(EXPRESSION, "Anger", 10.0, 3723.5, person=12, valence=-1.0, arousal=1.0),
    episode(VOICE, "Neutral", 11.0, 12.0, None, voice_valence=0.1, voice_arousal=0.0),
    episode(FACE, "no face", 12.5, 13.0, None),
]


def write(
    folder: Path, episodes: list[Episode], *, begin_s: float = 10.0, name: str = "clip.mp4", **told: Any
) -> dict[str, Path]:
    """All three files of a clip that lies beside the folder."""
    media, made = folder / name, folder / "clip.mp4.sentio"
    made.mkdir(exist_ok=True)
    media.touch()
    what = Annotations(tiers_of(episodes, begin_s), {"source": name, "columns": {"a": 1}, **told}, media, made)
    paths = {suffix: made / f"affect.{suffix}" for suffix in WRITERS}
    for suffix, path in paths.items():
        WRITERS[suffix](path, what)
    return paths


def cues(path: Path) -> list[tuple[str, str, str]]:
    return [(cue.start, cue.end, cue.text) for cue in webvtt.read(path)]


def in_elan(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Tiers with their annotations in seconds, as pympi reads them."""
    eaf = pympi.Elan.Eaf(str(path), suppress_version_warning=True)
    spans = {name: sorted(eaf.get_annotation_data_for_tier(name)) for name in eaf.get_tier_names()}
    return {
        name: [(start / 1000, end / 1000, label) for start, end, label, *_ in found] for name, found in spans.items()
    }


def in_praat(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Tiers with their labelled intervals, as praatio reads them."""
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    return {tier.name: [tuple(entry) for entry in tier.entries] for tier in grid.tiers}


def test_captions_say_who_what_and_how(tmp_path) -> None:
    path = write(tmp_path, EPISODES)["vtt"]
    assert cues(path) == [
        ("00:00:00.000", "00:00:01.250", "person 0: Happiness, valence +0.62, arousal -0.31"),
        ("00:00:00.000", "01:01:53.500", "person 12: Anger, valence -1.00, arousal +1.00"),
        ("00:00:01.000", "00:00:02.000", "voice: Neutral, valence +0.10, arousal +0.00"),
        ("00:00:01.250", "00:00:02.500", "person 0: Fear, valence +0.00, arousal +1.00"),
    ]
    assert path.read_text().startswith("WEBVTT\n\nNOTE What a viewer would perceive")
    assert captions.clock(100 * 3_600_000 + 59_999) == "100:00:59.999"


def test_elan_and_praat_have_the_same_tiers(tmp_path) -> None:
    paths = write(tmp_path, EPISODES)
    expected = {
        "person 0 expression": [(0.0, 1.25, "Happiness"), (1.25, 2.5, "Fear")],
        "person 0 AU12": [(0.5, 1.0, "AU12")],
        "person 0 face": [(0.0, 2.5, "fit")],
        "person 12 expression": [(0.0, 3713.5, "Anger")],
        "voice": [(1.0, 2.0, "Neutral")],
        "face": [(2.5, 3.0, "no face")],
    }
    assert in_elan(paths["eaf"]) == expected
    assert in_praat(paths["TextGrid"]) == expected
    assert list(in_praat(paths["TextGrid"])) == list(expected), "in this order"


def test_praat_gets_intervals_without_gaps(tmp_path) -> None:
    path = write(tmp_path, EPISODES)["TextGrid"]
    for tier in pympi.Praat.TextGrid(str(path)).get_tiers():
        spans = sorted(tier.intervals)
        assert spans[0][0] == 0.0 and spans[-1][1] == 3713.5
        assert all(one[1] == other[0] for one, other in pairwise(spans))
    assert textgrid.openTextgrid(str(path), includeEmptyIntervals=True).validate("error")


def test_elan_knows_types_participants_vocabulary_and_the_media(tmp_path) -> None:
    path = write(tmp_path, EPISODES)["eaf"]
    eaf = pympi.Elan.Eaf(str(path), suppress_version_warning=True)
    kinds = {name: eaf.get_parameters_for_tier(name)["LINGUISTIC_TYPE_REF"] for name in eaf.get_tier_names()}
    assert kinds["person 0 AU12"] == "action unit" and kinds["person 12 expression"] == "expression"
    assert eaf.get_parameters_for_tier("person 12 expression")["PARTICIPANT"] == "person 12"
    assert eaf.get_parameters_for_tier("voice") == {
        "TIER_ID": "voice",
        "LINGUISTIC_TYPE_REF": "voice",
        "ANNOTATOR": "sentio",
    }
    assert eaf.get_parameters_for_linguistic_type("voice")["CONTROLLED_VOCABULARY_REF"] == "expressions"
    entries = eaf.get_cv_entries("expressions")
    assert [value for values, _ in entries.values() for value, *_ in values] == list(EXPRESSIONS)
    [media] = eaf.get_linked_files()
    assert media["RELATIVE_MEDIA_URL"] == media["MEDIA_URL"] == "../clip.mp4" and media["MIME_TYPE"] == "video/mp4"
    assert json.loads(dict(eaf.get_properties())["sentio"]) == {"source": "clip.mp4"}
    root = ElementTree.parse(path).getroot()
    parts = [element.tag for element in root]
    order = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LANGUAGE", "CONTROLLED_VOCABULARY"]
    assert sorted(parts, key=order.index) == parts, "the schema's order"
    times = [int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")]
    assert times == sorted(times) and len(times) == 2 * len(list(root.iter("ALIGNABLE_ANNOTATION")))


def test_hostile_names_change_nothing(tmp_path) -> None:
    plain = write(tmp_path, EPISODES)
    told = {suffix: path.read_bytes() for suffix, path in plain.items()}
    hostile = write(tmp_path, EPISODES, name=HOSTILE)
    assert hostile["TextGrid"].read_bytes() == told["TextGrid"]
    [*_, note], [*_, told_note] = (
        text.partition("\n\n00:")[::2] for text in (hostile["vtt"].read_text(), told["vtt"].decode())
    )
    assert note == told_note and cues(hostile["vtt"])[0][2].startswith("person 0")
    assert len(cues(hostile["vtt"])) == 4 and hostile["vtt"].read_text().count("-->") == 4
    eaf = pympi.Elan.Eaf(str(hostile["eaf"]), suppress_version_warning=True)
    assert json.loads(dict(eaf.get_properties())["sentio"])["source"] == HOSTILE
    [media] = eaf.get_linked_files()
    assert media["RELATIVE_MEDIA_URL"] == "../" + HOSTILE.replace("\x07", "?").replace("\x1b", "?")
    bytes_name = os.fsdecode(b"\xff" + b"x" * 200 + b".mp4")
    eaf = pympi.Elan.Eaf(str(write(tmp_path, EPISODES, name=bytes_name)["eaf"]), suppress_version_warning=True)
    assert eaf.get_linked_files()[0]["RELATIVE_MEDIA_URL"] == "../?" + "x" * 200 + ".mp4"


def test_persons_have_their_names_where_these_can_do_no_harm(tmp_path) -> None:
    paths = write(tmp_path, EPISODES, names={"0": HOSTILE, "12": "Änne", "3": "nobody"})
    assert [text.partition(", ")[0] for _, _, text in cues(paths["vtt"])] == [
        'a --&gt; b NOTE &lt;i&gt;&amp;amp;"\x07\x1b ]]&gt; é .mp4: Happiness',
        "Änne: Anger",
        "voice: Neutral",
        'a --&gt; b NOTE &lt;i&gt;&amp;amp;"\x07\x1b ]]&gt; é .mp4: Fear',
    ]
    eaf = pympi.Elan.Eaf(str(paths["eaf"]), suppress_version_warning=True)
    called = [eaf.get_parameters_for_tier(f"person {number} expression")["PARTICIPANT"] for number in (0, 12)]
    assert called == ['a --> b NOTE <i>&amp;"?? ]]> é .mp4', "Änne"]


def test_praat_quotes_what_it_reads(tmp_path) -> None:
    path = write(tmp_path, [episode(FACE, 'a "b" ""', 10.0, 11.0)])["TextGrid"]
    assert 'text = "a ""b"" """""' in path.read_text()
    [[(_, _, label)]] = in_praat(path).values()
    assert label == 'a "b" ""'


def test_links_lead_to_the_media_from_wherever_folders_are(tmp_path) -> None:
    (tmp_path / "far/results").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "far/results")
    media = tmp_path / "clip 1.mp4"
    media.touch()
    assert elan.link(media, tmp_path / "out") == "../../clip 1.mp4"
    assert (tmp_path / "out" / elan.link(media, tmp_path / "out")).samefile(media)
    assert elan.link(media, tmp_path) == "./clip 1.mp4"
    assert [elan.mime_type(Path(name)) for name in ("a.WAV", "a.mp4", "a")] == ["audio/x-wav", "video/mp4", "unknown"]


def test_what_lies_before_the_beginning_or_within_a_millisecond_is_cut(tmp_path) -> None:
    early = [episode(EXPRESSION, "Fear", -2.0, -1.0), episode(EXPRESSION, "Anger", -1.0, 0.5)]
    short = [episode(VOICE, "Neutral", 0.1, 0.1004, None), episode(VOICE, "Fear", 0.1004, 0.3, None)]
    paths = write(tmp_path, early + short, begin_s=0.0)
    assert in_elan(paths["eaf"]) == in_praat(paths["TextGrid"])
    assert in_elan(paths["eaf"])["person 0 expression"] == [(0.0, 0.5, "Anger")]
    assert in_elan(paths["eaf"])["voice"] == [(0.1, 0.3, "Fear")]


def test_files_without_an_episode_can_be_read(tmp_path) -> None:
    paths = write(tmp_path, [])
    assert cues(paths["vtt"]) == [] and in_elan(paths["eaf"]) == {}


def analyzed(folder: Path, source: Path, options: Options | None = None) -> Path:
    """The folder with all three files and the table of a source."""
    outputs = ("parquet", "vtt", "eaf", "textgrid")
    record = Analysis(folder, options or Options(detector="haar"), outputs).write(folder / "result", source)
    assert record["outputs"] == ["affect.parquet", "affect.vtt", "affect.eaf", "affect.TextGrid"]
    return folder / "result"


@pytest.mark.usefixtures("tiny_models")
class TestOfFiles:
    def test_a_clip_of_two_persons(self, tmp_path, clips) -> None:
        made = analyzed(tmp_path, clips / "pair.mp4")
        table = Table.read(made / "affect.parquet")
        episodes = Episodes(unit_thresholds(table.header))
        rows = table.arrow.to_pylist()
        found = [e for row in rows for e in episodes.push(row)] + episodes.flush()
        wanted: dict[str, list] = {}
        for e in sorted(found, key=lambda e: e.start_s):
            name = e.kind if e.person is None else f"person {e.person} {e.kind}"
            wanted.setdefault(name, []).append(
                (pytest.approx(e.start_s, abs=1e-3), pytest.approx(e.end_s, abs=1e-3), e.label)
            )
        assert in_elan(made / "affect.eaf") == in_praat(made / "affect.TextGrid") == wanted
        assert {name.split()[-1] for name in wanted} >= {"expression", "face"}
        [media] = pympi.Elan.Eaf(str(made / "affect.eaf"), suppress_version_warning=True).get_linked_files()
        assert (made / media["RELATIVE_MEDIA_URL"]).samefile(clips / "pair.mp4")
        assert {cue.text.partition(":")[0] for cue in webvtt.read(made / "affect.vtt")} <= {"person 0", "person 1"}

    def test_without_a_face_at_a_variable_rate(self, tmp_path) -> None:
        times = [0.0, 0.5, 0.52, 2.0, 2.25]
        made = analyzed(tmp_path, write_media(tmp_path / "clip.mkv", times=times))
        assert in_praat(made / "affect.TextGrid") == in_elan(made / "affect.eaf") == {"face": [(0.0, 2.5, "no face")]}
        assert cues(made / "affect.vtt") == []

    def test_of_one_frame(self, tmp_path) -> None:
        made = analyzed(tmp_path, write_media(tmp_path / "clip.mp4", times=[0.0]))
        assert in_praat(made / "affect.TextGrid") == in_elan(made / "affect.eaf") == {"face": [(0.0, 0.033, "no face")]}

    def test_of_sound_alone(self, tmp_path) -> None:
        made = analyzed(tmp_path, write_media(tmp_path / "clip.wav", sound=tone(2.0), sound_codec="pcm_s16le"))
        tiers = in_praat(made / "affect.TextGrid")
        assert tiers == in_elan(made / "affect.eaf") and tiers["face"] == [(0.25, 2.25, "no picture")]
        assert all(text.startswith("voice: ") for *_, text in cues(made / "affect.vtt"))
        [media] = pympi.Elan.Eaf(str(made / "affect.eaf"), suppress_version_warning=True).get_linked_files()
        assert media == {"MEDIA_URL": "../clip.wav", "RELATIVE_MEDIA_URL": "../clip.wav", "MIME_TYPE": "audio/x-wav"}

    def test_of_a_folder_of_pictures(self, tmp_path, clips) -> None:
        (tmp_path / "pictures").mkdir()
        for k in range(3):
            shutil.copy(clips / "portrait0.jpg", tmp_path / f"pictures/{k}.jpg")
        made = analyzed(tmp_path, tmp_path / "pictures")
        assert pympi.Elan.Eaf(str(made / "affect.eaf"), suppress_version_warning=True).get_linked_files() == []

    def test_time_counts_from_the_beginning_of_the_container(self, tmp_path) -> None:
        source = write_media(tmp_path / "clip.ts", times=[1.5 + t for t in steady(10)])
        made = analyzed(tmp_path, source)
        start = Table.read(made / "affect.parquet")["time_s"][0]
        assert start > 1, "the table has the container's own time"
        [(begin, _, label)] = in_praat(made / "affect.TextGrid")["face"]
        assert begin == pytest.approx(0.0, abs=0.05) and label == "no face"


def test_frames_of_a_stream_can_be_annotated(clips) -> None:
    """Whatever gives rows gives episodes: a session needs no file."""
    rows, episodes = stream(Options(detector="haar", model="none")), Episodes({})
    picture = np.zeros((64, 96, 3), np.uint8)
    pushed = [row for k in range(10) for row in rows.push(picture, k / 10)] + rows.flush()
    found = [e for row in pushed for e in episodes.push(row)] + episodes.flush()
    assert [tier.name for tier in tiers_of(found, 0.0)] == ["face"]
