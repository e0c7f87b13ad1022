"""Published layouts for a method that hears: of each video the answers of a voice model that never heard its speaker.

The answers of a voice model about the speakers that it was trained on are too good to learn from. So several trainings
of it each leave out other speakers, and each video is heard by the first that left out the one who speaks in it
(cross-fitting). Who speaks in rendered videos ``sentio synth`` has noted.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sentio.affect.backbones import EncoderInfo
from sentio.affect.data.extraction import extract_sound
from sentio.affect.data.features import Features, FeatureStore, SoundSteps
from sentio.affect.data.tree import scan
from sentio.affect.heard import ANSWERS, answers
from sentio.affect.labels import SAMPLE_RATE
from sentio.affect.protocol.scoring import predict, tally
from sentio.affect.synth.layout import LISTING
from sentio.affect.training.joined import JoinedData
from sentio.affect.training.published import DataConfig
from sentio.core import runs
from sentio.core.errors import InputError, RecipeError
from sentio.core.method import Method

STEPS = SoundSteps(stretch_s=3.0, hop_s=0.25)
"""How the voice model is led in use."""


@dataclass(frozen=True)
class HearingConfig(DataConfig):
    """The ``data`` section of a recipe.

    Attributes:
        voices: folders of trainings of the voice model, each without other speakers (``held_out``). The embedded one,
            ``voice``, heard all actors of EMO-DB, and is for videos in which none of them speaks.
    """

    voices: tuple[str, ...] = ("voice",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.voices:
            raise ValueError("voices names no voice model")


class HearingData(JoinedData):
    """Label sets joined, with the answers of voice models for sound; validated by the face model's thresholds.

    What the voice models say is computed where it is missing, and kept in the feature store.

    Raises:
        RecipeError: what is named is no voice model.
        InputError: all of them heard somebody who speaks in a video, or see :class:`AffectData`.
    """

    Config = HearingConfig

    def __init__(self, root: Path, config: HearingConfig) -> None:
        videos = scan(root).media
        heard = spoken(root)
        store = CrossFitted(Path(config.features) if config.features else root / "features", config.voices)
        store.listen(videos, {name: heard.get(name, "") for name in videos})
        super().__init__(root, config, sound=store)

    def validate(self, method: Any) -> dict[str, float]:
        predictions = predict(method, self.validation, workers=self.workers)
        decided = tuple(method.face.thresholds.tolist())
        return tally(self.validation.clips, predictions, protocol=self.protocol, thresholds=decided).scores()


class CrossFitted(FeatureStore):
    """The answers of several voice models, of each video those of one that did not hear its speaker.

    Args:
        folder: of the feature store.
        trainings: folders of runs of the voice model, at least one.
    """

    def __init__(self, folder: Path, trainings: tuple[str, ...]) -> None:
        opened = [open_voice(training) for training in trainings]
        self.left_out = [left_out for left_out, _ in opened]
        self.stores = [FeatureStore(folder, encoder, STEPS) for _, encoder in opened]
        self.chosen: dict[str, FeatureStore] = {}
        super().__init__(folder, self.stores[0].encoder, STEPS)

    def listen(self, videos: dict[str, Path], speakers: dict[str, str]) -> None:
        """Have each video heard, if it was not yet.

        Args:
            videos: files by name.
            speakers: who speaks in each, "" where it is nobody that a voice model was trained on.
        """
        self.chosen = {name: self.stores[self.fold(speakers[name], path)] for name, path in videos.items()}
        for store in self.stores:
            extract_sound(store, {name: path for name, path in videos.items() if self.chosen[name] is store})

    def fold(self, speaker: str, video: Path) -> int:
        """The number of the voice model for a video."""
        for number, left_out in enumerate(self.left_out):
            if not speaker or speaker in left_out:
                return number
        raise InputError(
            f"Every voice model of data.voices was trained on speaker {speaker}, who speaks in {video}.",
            "Train one with data.held_out that names the speaker, and add its folder.",
        )

    def open(self, name: str, source: Path | None = None) -> Features:
        return self.chosen[name].open(name, source)


class Answers(nn.Module):
    """A voice model as an encoder of sound, N stretches of three seconds (B, T, S) -> (B, T, 11); see ``heard``."""

    def __init__(self, model: Method) -> None:
        super().__init__()
        (graph,) = model.graphs()
        self.module = graph.module.eval()
        self.info = EncoderInfo("voice-answers", ANSWERS, "Apache-2.0", "a run of voice", rate=SAMPLE_RATE)

    def forward(self, sound: Tensor) -> Tensor:
        found = answers(*(part.cpu().numpy() for part in self.module(sound.flatten(0, 1))))  # (B T, 11)
        return torch.from_numpy(found).reshape(*sound.shape[:2], ANSWERS)  # (B, T, 11)


def open_voice(training: str) -> tuple[tuple[str, ...], Answers]:
    """Speakers that a training of the voice model left out, and what came of it as an encoder."""
    plan, model = runs.read_run(training)
    if plan.system != "voice":
        raise RecipeError(f"data.voices: {training} is a run of {plan.system}, not of voice.")
    return tuple(plan.data.get("held_out", ())), Answers(model)


def spoken(root: Path) -> dict[str, str]:
    """Who speaks in each video of a folder that ``sentio synth`` made, by the first two digits of the utterances.

    A folder without its listing was not rendered: there nobody is one of the actors of EMO-DB.
    """
    listing = root.resolve().parent / LISTING
    if not listing.is_file():
        return {}
    rows = map(json.loads, listing.read_text(encoding="utf-8").splitlines())
    return {row["image"].partition("/")[0]: row["said"][0][:2] for row in rows if row.get("said")}
