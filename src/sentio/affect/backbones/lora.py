"""Low-rank adapters on a frozen encoder of faces (Hu et al., LoRA, 2021): little is learnt, and the trunk stays."""

from dataclasses import dataclass

from sentio.affect.backbones import Encoder
from sentio.affect.backbones.frozen import Frozen
from sentio.core.errors import RecipeError, require


@dataclass(frozen=True)
class Lora:
    """Adapters W + (alpha / rank) B A of dense layers, B zero at first.

    Args:
        rank: rows of A and columns of B.
        alpha: scale.
        layers: last names of the dense layers that get one: queries and values, as CLIP's and ViT's are called.
    """

    rank: int = 8
    alpha: float = 16.0
    layers: tuple[str, ...] = ("q_proj", "v_proj", "query", "value")

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not self.layers:
            raise ValueError("lora: rank is at least 1, alpha above zero, and some layers are named")


def adapted(encoder: Encoder, lora: Lora | None) -> Encoder:
    """The encoder, with adapters put into it if there is a config of them.

    Raises:
        MissingExtraError: peft is not installed.
        RecipeError: the encoder is none of a snapshot, or has no such layers.
    """
    if lora is None:
        return encoder
    peft = require("peft", "lora")
    if not isinstance(encoder, Frozen):
        raise RecipeError(
            f"lora adapts encoders of published snapshots; {encoder.info.name} is the package's own.",
            "Choose clip or vit as model.encoder, or leave lora out.",
        )
    config = peft.LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.layers))
    try:
        peft.inject_adapter_in_model(config, encoder.model)
    except ValueError as error:
        named = ", ".join(lora.layers)
        raise RecipeError(f"{encoder.info.name} has no layers {named}.", "Set model.lora.layers.") from error
    encoder.requires_grad_(False)
    return encoder
