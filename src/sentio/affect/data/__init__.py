"""Aff-Wild2, s-Aff-Wild2 and LSD as they are published: read, checked, cut into windows, stored as features."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentio.affect.data.dataset import AffectData


def open_data(method: Any, folder: Path, section: dict[str, Any]) -> "AffectData":
    """The training data of an affect model.

    Args:
        method: the model; stored face features must be of its own face network, if it has one.
        folder: in any published layout.
        section: the ``data`` section of a recipe, see :class:`~sentio.affect.data.dataset.DataConfig`.

    Raises:
        RecipeError: an unknown key, a wrong value, or features of another face network.
        InputError: see :class:`~sentio.affect.data.dataset.AffectData`.
    """
    from sentio.affect.data.dataset import AffectData, DataConfig, refuse_other_encoder
    from sentio.core import recipe

    data = AffectData(folder, recipe.from_dict(DataConfig, section, where="data"))
    if data.faces is not None:
        refuse_other_encoder(method, data.faces)
    return data
