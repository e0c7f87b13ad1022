"""Aff-Wild2, s-Aff-Wild2 and LSD as they are published: read, checked, cut into windows, stored as features."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentio.core.training import TrainingData


def open_data(method: Any, folder: Path, section: dict[str, Any]) -> "TrainingData":
    """The training data of an affect model: windows of a published layout, or what its own ``open_data`` makes.

    Args:
        method: the model; stored face features must be of its own face network, if it has one.
        folder: in any published layout, or in the model's own.
        section: the ``data`` section of a recipe, see :class:`~sentio.affect.data.dataset.DataConfig`.

    Raises:
        RecipeError: an unknown key, a wrong value, or features of another face network.
        InputError: see :class:`~sentio.affect.data.dataset.AffectData`.
    """
    if hasattr(method, "open_data"):
        own: TrainingData = method.open_data(folder, section)
        return own
    from sentio.affect.data.dataset import AffectData, DataConfig, refuse_other_encoder
    from sentio.core import recipe

    data = AffectData(folder, recipe.from_dict(DataConfig, section, where="data"))
    if data.faces is not None:
        refuse_other_encoder(method, data.faces)
    return data
