"""What experiments on published layouts share: the drawn set, the face model's stored features, the rate of videos."""

from pathlib import Path
from typing import Any

from sentio.affect.backbones import EncoderInfo
from sentio.affect.data.extraction import extract
from sentio.affect.data.tree import scan
from sentio.affect.media import open_media
from sentio.affect.synth.moving_picture import MovingPicture, generate
from sentio.affect.training.published import DataConfig, open_store
from sentio.core.config import from_dict
from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.core.experiments import make, train
from sentio.core.runs import Recipe

FACE = "face"
"""The embedded face model, whose features stand for the face where the data are not drawn."""
QUALITY = 95
"""Of pictures that are written as JPEG."""
CHOOSE_ON = 5
"""Every fifth training video chooses the weights; the validation split judges only."""
SPLIT = f"every {CHOOSE_ON}th training video chooses the weights, the validation split's people judge only"


def drawn(work: Path, config: MovingPicture) -> Path:
    """The drawn set: discs with eyes and a mouth, no faces."""
    return make(work / "drawn", lambda folder: generate(folder, config))


def is_drawn(data: Path, work: Path) -> bool:
    """Whether an experiment drew its data itself."""
    return data.parent == work


def encoder(data: Path, work: Path) -> str:
    """The kind of face network: a small one for drawn faces, that of the embedded face model else."""
    return "small" if is_drawn(data, work) else "aligned"


def fer_tuned(root: Path, run: Path, data: Path, work: Path, seed: int) -> Path:
    """FER-Tuned on the valence and arousal of ``root``; its best weights.

    Drawn faces: all of it is trained, on pictures. Others: its head alone, on the face model's features.
    """
    plan: dict[str, Any] = {
        "system": "fer-tuned",
        "model": {"encoder": encoder(data, work)},
        "data": {"windows": {"hop": 4}, "validation_hop": 5, "choose_on": CHOOSE_ON},
        "fit": {"batch_size": 64, "lr": 1e-3, "schedule": "cosine", "seed": seed, "epochs": 5},
        "evaluation": {"fill": "previous", "resamples": 0},
    }
    if is_drawn(data, work):
        plan["data"]["windows"]["hop"], plan["fit"]["batch_size"] = 2, 32
    else:
        plan["start"] = {"encoder": FACE}
        plan["data"] |= {"face_encoder": FACE, "features": store_features(data, work, FACE)}
    return train(from_dict(Recipe, plan), root, run)


def store_features(data: Path, work: Path, *specs: str) -> str:
    """The folder of stored features of some encoders: the data's own if it has all of them, else filled in ``work``.

    Raises:
        InputError: pictures or sounds cannot be read.
    """
    own = [open_store(data, spec, DataConfig()).folder for spec in specs]
    if all(folder.exists() for folder in own):
        return str(own[0].parent)
    config = DataConfig(features=str(work / "features"))
    problems = [problem for spec in specs for problem in extract(data, open_store(data, spec, config))]
    if errors := [problem for problem in problems if problem.level == "error"]:
        raise InputError(
            f"{counted(len(errors), 'unusable file')} in {data}, the first: {errors[0]}", "Mend it, or take it away."
        )
    return str(work / "features")


def sound_info(data: Path, spec: str) -> EncoderInfo:
    """What is known of a sound encoder, which need not be here if the data have its features."""
    return open_store(data, spec, DataConfig()).encoder.info


def third_of_a_second(data: Path) -> int:
    """In frames, by the rate of the first video: 10 at 30 a second, and where there is no video."""
    media = scan(data).media
    if not media:
        return 10
    with open_media(media[min(media)]) as film:
        return max(1, round(film.info.rate / 3))
