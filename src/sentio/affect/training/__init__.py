"""What a Method is trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentio.core.training import TrainingData


def open_data(method: Any, folder: Path, section: dict[str, Any]) -> "TrainingData":
    """The training data of an affect model: windows of a published layout, or what its own ``open_data`` makes.

    Args:
        method: the model; stored face features must be of its own face network, if it has one.
        folder: in any published layout, or in the model's own.
        section: the ``data`` section of a recipe, see :class:`~sentio.affect.training.published.DataConfig`.

    Raises:
        RecipeError: an unknown key, a wrong value, or features of another face network.
        InputError: see :class:`~sentio.affect.training.published.AffectData`.
    """
    if hasattr(method, "open_data"):
        own: TrainingData = method.open_data(folder, section)
        return own
    from sentio.affect.training.published import AffectData, DataConfig, refuse_other_encoder
    from sentio.core.config import from_dict

    data = AffectData(folder, from_dict(DataConfig, section, where="data"))
    if data.faces is not None:
        refuse_other_encoder(method, data.faces)
    return data
