import numpy as np
import pytest
import soundfile

from sentio.affect.labels import SAMPLE_RATE
from sentio.affect.synth import voice
from sentio.core.errors import InputError

ANGER, FEAR = "W", "A"


@pytest.fixture
def folder(tmp_path):
    """Utterances of three actors, a tone of one second each."""
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    for actor in ("03", "08", "11"):
        for letter in (ANGER, FEAR):
            soundfile.write(tmp_path / f"{actor}a01{letter}a.wav", tone, SAMPLE_RATE)
    (tmp_path / "notes.txt").write_text("nothing")
    return tmp_path


def test_names_tell_emotion_and_actor(folder):
    found = voice.utterances(folder)
    assert {name: len(paths) for name, paths in found.items()} == {"Anger": 3, "Fear": 3}
    assert voice.speakers(folder) == ("03", "08", "11")
    assert [p.stem for p in voice.utterances(folder, ("08",))["Anger"]] == ["08a01Wa"]


def test_a_folder_without_utterances_is_refused(tmp_path):
    with pytest.raises(InputError, match="no utterances"):
        voice.utterances(tmp_path)


def test_one_actor_speaks_with_the_emotions_of_the_acts(folder):
    for seed in range(8):
        track = voice.speak(["Anger", "Surprise", "Fear"], 9, 25, voice.utterances(folder), np.random.default_rng(seed))
        assert len(track.sound) == 9 * SAMPLE_RATE and len(track.energy) == 225
        assert len({said[:2] for said in track.said}) <= 1
        assert {said[5] for said in track.said} <= {ANGER, FEAR}
        assert not track.energy[76:149].any()  # nobody has a surprised voice
        assert np.abs(track.sound).max() <= 0.99


def test_speech_is_louder_than_the_room(folder):
    track = voice.speak(["Anger"], 4, 25, voice.utterances(folder), np.random.default_rng(0))
    assert track.said
    power = np.square(track.sound.reshape(100, -1)).mean(1)
    assert power[track.energy > 0.5].mean() > 5 * power[track.energy == 0].min()


def test_without_voices_there_is_faint_noise_and_no_energy():
    track = voice.speak(["Anger"], 2, 25, {}, np.random.default_rng(0))
    assert track.said == () and not track.energy.any()
    assert 0 < np.abs(track.sound).max() < 0.3


def test_loudness_is_the_root_mean_square():
    sound = np.concatenate([np.full(8000, 0.1), np.full(8000, 0.4)])
    np.testing.assert_allclose(
        voice.loudness(sound, 25, 25), [0.25] * 12 + [np.sqrt((0.01 + 0.16) / 2) / 0.4] + [1] * 12, atol=1e-9
    )


def test_real_utterances(shared):
    found = voice.utterances(shared / "data/affect/speech-emodb")
    assert set(found) == set(voice.EMOTIONS.values())
    track = voice.speak(["Happiness"], 4, 25, found, np.random.default_rng(2))
    assert track.said and 0.3 < track.energy.max() <= 1
