"""Valence and arousal from face and voice, learnt beside the texts of nine regions of their plane (arXiv 2603.13415).

Special: the plane is cut in 3 x 3 regions, each with a text, and a frame belongs to all of them by how near their
centres are; the visual vector of a frame is drawn to the texts by these soft labels. Faces and sound meet by attention
both ways, then by a gate. What departs from the paper is an option, or listed in docs/papers/softprompt.md.
"""

import logging
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones.encoders import open_face_network, open_text_encoder
from sentio.affect.backbones.lora import Lora, adapted
from sentio.affect.backbones.networks import face_features
from sentio.affect.backbones.text import ClipTextEncoder, with_context
from sentio.affect.backbones.transformer import CrossAttention
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.losses import ccc_loss, labels
from sentio.affect.method import AffectMethod
from sentio.affect.training.dropping import Dropping
from sentio.affect.training.published import AffectData
from sentio.core import processes
from sentio.core.errors import RecipeError
from sentio.core.registry import register

log = logging.getLogger(__name__)

CENTRES = tuple((valence, arousal) for valence in (-2 / 3, 0.0, 2 / 3) for arousal in (-2 / 3, 0.0, 2 / 3))
"""Valence and arousal in the middle of each region."""
TEXTS = (
    "a photo of a person who looks depressed and gloomy",
    "a photo of a person who looks sad and upset",
    "a photo of a person who looks angry, fearful and tense",
    "a photo of a person who looks sleepy and tired",
    "a photo of a person with a neutral, calm face",
    "a photo of a person who looks surprised and alert",
    "a photo of a person who looks relaxed and serene",
    "a photo of a person who looks happy and pleased",
    "a photo of a person who looks excited and delighted",
)
"""Of the regions, in the order of ``CENTRES``."""


@dataclass(frozen=True)
class SoftPromptConfig:
    """Config of the published form.

    Args:
        encoder: frozen face network: ``clip``, ``clip:NAME`` or ``clip:FOLDER`` for a CLIP snapshot (``vit`` likewise),
            or one of the package's own by name.
        lora: adapters that are learnt in a snapshot's network, from pictures, not from stored features; None: none.
        sound_features: length of the stored sound vectors.
        inputs: both, or one of them alone.
        causal: each frame knows of itself and those before it, and no others.
        units: of the recurrent networks, in each direction; the causal one has twice as many in its only direction.
        layers, heads, dropout: of the recurrent networks; of the attention; of all.
        region_labels: what a frame's visual vector is drawn to: ``soft``, all regions by their distance; ``hard``, the
            nearest; ``none``, no region.
        prompts: a region is a ``learnt`` context before the frozen CLIP text, the text as it is (``fixed``), or a
            learnt vector without text (``vectors``), which is all that there is without CLIP.
        context: vectors of the learnt context.
        sigma: width of the soft labels, in units of valence and arousal.
        weight: of the regions' loss, beside that of valence and arousal.
        temperature: what the cosines of visual vectors and regions are divided by.
        dropping: modalities hidden in training.
    """

    encoder: str = "aligned"
    lora: Lora | None = None
    sound_features: int = 256
    inputs: Literal["both", "face", "sound"] = "both"
    causal: bool = False
    units: int = 256
    layers: int = 2
    heads: int = 8
    dropout: float = 0.3
    region_labels: Literal["soft", "hard", "none"] = "soft"
    prompts: Literal["learnt", "fixed", "vectors"] = "vectors"
    context: int = 16
    sigma: float = 1 / 3
    weight: float = 0.3
    temperature: float = 0.07
    dropping: Dropping = field(default_factory=Dropping)

    def __post_init__(self) -> None:
        if self.prompts != "vectors" and self.encoder.partition(":")[0] != "clip":
            raise ValueError(f"prompts {self.prompts!r} need the encoder clip, whose text they are; choose 'vectors'")
        if (2 * self.units) % self.heads:
            raise ValueError(f"twice the {self.units} units must be a multiple of the {self.heads} heads")
        for name in ("sigma", "temperature", "context"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero, found {getattr(self, name)}")


@register("softprompt", summary="Valence and arousal from face and voice, beside texts of nine regions (ABAW10).")
class SoftPrompt(AffectMethod):
    """Frozen encoders -> a recurrent network for each -> attention both ways -> gate -> an answer for every frame."""

    Config = SoftPromptConfig

    def __init__(self, config: SoftPromptConfig) -> None:
        super().__init__(config)
        self.encoder = adapted(open_face_network(config.encoder), config.lora)
        dim = 2 * config.units
        self.face = Recurrent(self.encoder.info.dim, config)
        self.sound = Recurrent(config.sound_features, config)
        self.to_sound = CrossAttention(dim, config.heads, config.dropout)
        self.to_face = CrossAttention(dim, config.heads, config.dropout)
        self.gate = Gate(dim)
        self.head = nn.Sequential(
            nn.Linear(dim, config.units), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(config.units, 2), nn.Tanh()
        )
        self.regions = None if config.region_labels == "none" else make_regions(config, self.encoder.info.dim)
        if self.regions is not None:
            self.project = nn.Linear(dim, self.regions.dim)

    @property
    def frozen(self) -> tuple[str, ...]:
        learnt = isinstance(self.regions, LearntPrompts)
        return ("encoder", "regions.text") if learnt else ("encoder",)

    def open_data(self, path: Path, section: dict[str, Any]) -> AffectData:
        """As of all systems; data without sound are told of, and then the face alone answers."""
        data = super().open_data(path, section)
        if data.config.windows.answers != "all":
            raise RecipeError(f"{self.name} answers for every frame.", "Set data.windows.answers to all.")
        data.sound_suffices = self.config.inputs != "face"
        if data.sound is None and data.sound_suffices:
            log.warning("The data section names no sound: %s has the faces alone.", self.name)
        self.read_texts()
        return data

    def read_texts(self) -> None:
        """Have CLIP read the fixed prompts, if it has not yet; their vectors are then part of the model.

        Raises:
            WeightsError: the snapshot is not here.
        """
        if isinstance(self.regions, FixedPrompts) and self.regions.vectors.isnan().any():
            with torch.no_grad():
                self.regions.vectors.copy_(open_text_encoder(self.config.encoder)(list(TEXTS)))

    def example_batch(self) -> AffectBatch:
        return AffectBatch.example(4, 12, L=12, sound=self.config.sound_features)

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """(B, T, 2) for every frame; NaN where it knows of neither face nor sound."""
        sound, heard = self.heard(batch)
        fused, _, known = self.fuse(face_features(self.encoder, batch), self.seen(batch), sound, heard)
        return AffectOutput(valence_arousal=self.head(fused).masked_fill(~known[..., None], nan), features=fused)

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """1 - mean CCC over the labelled frames, and the divergence of their visual vectors from the region labels."""
        self.read_texts()
        sound, heard = self.heard(batch)
        seen, heard = self.config.dropping.draw(self.seen(batch), heard)
        fused, visual, known = self.fuse(face_features(self.encoder, batch), seen, sound, heard)
        label, valid = labels(batch, "valence_arousal")
        terms = {"valence_arousal": ccc_loss(self.head(fused), label, valid & known)}
        if self.regions is not None:
            terms["regions"] = self.config.weight * self._region_loss(visual, label, valid & seen)
        return terms

    def seen(self, batch: AffectBatch) -> Tensor:
        """(B, T): the frames whose faces are used."""
        seen = batch.face_valid
        return torch.zeros_like(seen) if self.config.inputs == "sound" else seen

    def heard(self, batch: AffectBatch) -> tuple[Tensor, Tensor]:
        """The sound of each frame, (B, T, Da), and whether there is some that is used, (B, T)."""
        stored = batch.stored_sound(self.config.sound_features, used=self.config.inputs != "face")
        return at_frames(*stored, batch.time_s)

    def fuse(self, faces: Tensor, seen: Tensor, sound: Tensor, heard: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features and which are there (B, T, ...) -> fused and visual vectors (B, T, dim), which are known (B, T)."""
        see, hear = allow(seen, self.config.causal), allow(heard, self.config.causal)  # (B, T, T) each
        v, a = self.face(faces, seen), self.sound(sound, heard)  # (B, T, dim) each
        v, a = self.to_sound(v, a, hear), self.to_face(a, v, see)
        faced, voiced = see.any(-1), hear.any(-1)  # (B, T) each
        fused: Tensor = self.gate(v, a, faced, voiced)
        return fused, v, faced | voiced

    def region_logits(self, visual: Tensor) -> Tensor:
        """Visual vectors (B, T, dim) -> (B, T, 9): cosines with the regions' vectors, by the temperature."""
        regions = functional.normalize(cast(Regions, self.regions)(), dim=-1)  # (9, D)
        cosines = functional.normalize(self.project(visual).float(), dim=-1) @ regions.T  # (B, T, 9)
        logits: Tensor = cosines / self.config.temperature
        return logits

    def _region_loss(self, visual: Tensor, label: Tensor, valid: Tensor) -> Tensor:
        logits, place = processes.whole(self.region_logits(visual[valid]), label[valid])  # (N, 9), (N, 2)
        if not len(place):
            return logits.sum()
        soft = self.config.region_labels == "soft"
        return divergence(soft_labels(place, self.config.sigma) if soft else hard_labels(place), logits)


class Recurrent(nn.Module):
    """Gated recurrent units over the frames of one modality; a learnt vector stands for what is missing."""

    def __init__(self, inputs: int, config: SoftPromptConfig) -> None:
        super().__init__()
        self.missing = nn.Parameter(torch.zeros(inputs))
        self.gru = nn.GRU(
            inputs,
            config.units * (2 if config.causal else 1),
            config.layers,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
            bidirectional=not config.causal,
        )

    def forward(self, features: Tensor, there: Tensor) -> Tensor:
        """(B, T, D), (B, T) bool -> (B, T, 2 units)."""
        found: Tensor = self.gru(torch.where(there[..., None], features, self.missing))[0]
        return found


class Gate(nn.Module):
    """f = g v + (1 - g) a with g = sigmoid(W [v; a]), for each number by itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(2 * dim, dim)

    def forward(self, v: Tensor, a: Tensor, faced: Tensor, voiced: Tensor) -> Tensor:
        """v, a (B, T, dim) -> the same; where one is known to be without content, (B, T), the other alone."""
        g = self.weigh(torch.cat([v, a], -1)).sigmoid()  # (B, T, dim)
        g = g.masked_fill(~faced[..., None], 0.0).masked_fill(~voiced[..., None], 1.0)
        fused: Tensor = g * v + (1 - g) * a
        return fused


class Vectors(nn.Module):
    """The regions as learnt vectors, without texts: (9, D)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.vectors = nn.Parameter(torch.randn(len(CENTRES), dim) * dim**-0.5)

    def forward(self) -> Tensor:
        return self.vectors


class FixedPrompts(nn.Module):
    """The regions as the vectors of their texts, (9, D), read when training begins and kept with the model."""

    vectors: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("vectors", torch.full((len(TEXTS), dim), nan))

    def forward(self) -> Tensor:
        return self.vectors


class LearntPrompts(nn.Module):
    """The regions as the vectors of their texts behind one learnt context (CoOp, Zhou et al., 2022): (9, D)."""

    tokens: Tensor
    end: Tensor

    def __init__(self, text: ClipTextEncoder, context: int) -> None:
        super().__init__()
        self.dim, self.text = text.info.dim, text
        self.context = nn.Parameter(0.02 * torch.randn(context, text.width))
        tokens, end = text.tokenize(list(TEXTS), room=context)
        self.register_buffer("tokens", tokens, persistent=False)
        self.register_buffer("end", end, persistent=False)

    def forward(self) -> Tensor:
        return self.text.encode(*with_context(self.text.embed(self.tokens), self.end, self.context))


Regions = Vectors | FixedPrompts | LearntPrompts


def make_regions(config: SoftPromptConfig, dim: int) -> Regions:
    """What the visual vectors are compared with; CLIP's vectors of texts are as long as those of pictures, ``dim``."""
    if config.prompts == "vectors":
        return Vectors(2 * config.units)
    if config.prompts == "fixed":
        return FixedPrompts(dim)
    return LearntPrompts(open_text_encoder(config.encoder), config.context)


def squared_distances(place: Tensor) -> Tensor:
    """Valence and arousal (..., 2) -> (..., 9) squared distances to the regions' centres."""
    return ((place[..., None, :] - place.new_tensor(CENTRES)) ** 2).sum(-1)


def soft_labels(place: Tensor, sigma: float) -> Tensor:
    """Valence and arousal (..., 2) -> (..., 9): exp(-d^2 / 2 sigma^2) of the distances, divided by their sum."""
    return (-squared_distances(place) / (2 * sigma**2)).softmax(-1)


def hard_labels(place: Tensor) -> Tensor:
    """Valence and arousal (..., 2) -> (..., 9): 1 for the nearest region, 0 for the others."""
    return functional.one_hot(squared_distances(place).argmin(-1), len(CENTRES)).to(place.dtype)


def divergence(target: Tensor, logits: Tensor) -> Tensor:
    """The mean of KL(q || softmax(logits)) over N rows, in nats; target and logits are (N, 9)."""
    surprise: Tensor = torch.special.xlogy(target, target) - target * logits.float().log_softmax(-1)
    return surprise.sum(-1).mean()


def at_frames(values: Tensor, valid: Tensor, step_s: Tensor, time_s: Tensor) -> tuple[Tensor, Tensor]:
    """Of each frame the newest sound step that is not later: (B, T, D), and (B, T) whether it is valid.

    Args:
        values, valid, step_s: (B, S, D), (B, S) bool, (B, S) seconds in rising order.
        time_s: (B, T) seconds of the frames.
    """
    rows = torch.searchsorted(step_s.contiguous(), time_s.contiguous(), right=True) - 1  # (B, T)
    found = rows.clamp(min=0)
    heard = (rows >= 0) & valid.gather(1, found)
    return values.gather(1, found[..., None].expand(-1, -1, values.shape[2])), heard


def allow(there: Tensor, causal: bool) -> Tensor:
    """(B, T) -> (B, T, T): each frame sees those that are there, none of them later than itself if causal."""
    T = there.shape[1]
    all_see = there[:, None].expand(-1, T, -1)
    return all_see.tril() if causal else all_see
