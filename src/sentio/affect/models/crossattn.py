"""Expression of every frame from face and voice by attention both ways, guided by sentences (ABAW10; arXiv 2603.11971).

Special: faces pass a temporal convolution over the window, each sound vector goes to the frame that it belongs to in
time, each stream asks the other, and the face is drawn to the CLIP text feature of its emotion. A stream that is
missing, for a frame or altogether, has no influence. What the paper leaves open is listed in docs/papers/crossattn.md.
"""

from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sentio.affect.backbones.encoders import open_face_network, open_text_encoder
from sentio.affect.backbones.lora import Lora, adapted
from sentio.affect.backbones.networks import face_features
from sentio.affect.backbones.transformer import CrossAttention, sinusoid
from sentio.affect.batch import AffectBatch, AffectOutput
from sentio.affect.labels import EXPRESSIONS, FRAME_RATE
from sentio.affect.losses import labels
from sentio.affect.method import AffectMethod
from sentio.affect.training.dropping import Dropping
from sentio.affect.training.published import AffectData
from sentio.core import processes
from sentio.core.errors import RecipeError
from sentio.core.registry import register

PROMPTS = (
    *(
        f"a photo of a person with a {look} facial expression"
        for look in ("neutral", "angry", "disgusted", "fearful", "happy", "sad", "surprised")
    ),
    "a photo of a face with some other expression",
)
"""A sentence for each of ``EXPRESSIONS``."""
LEARNT = "learnt"


@dataclass(frozen=True)
class Guidance:
    """The text-guided contrastive loss.

    Args:
        text: text encoder, ``clip``, ``clip:NAME`` or ``clip:FOLDER``; ``learnt`` has vectors that are learnt in the
            place of text features; None is without the loss.
        features: length of the text features.
        prompts: a sentence for each expression.
        temperature: what cosines are divided by.
        weight: of the loss.
    """

    text: str | None = None
    features: int = 512
    prompts: tuple[str, ...] = PROMPTS
    temperature: float = 0.07
    weight: float = 0.1

    def __post_init__(self) -> None:
        if len(self.prompts) != len(EXPRESSIONS):
            raise ValueError(f"guidance.prompts: expected {len(EXPRESSIONS)} sentences, found {len(self.prompts)}")


@dataclass(frozen=True)
class CrossAttentionConfig:
    """Config of the network.

    Args:
        encoder: frozen face network: ``clip``, ``clip:NAME`` or ``clip:FOLDER`` for a CLIP snapshot (``vit`` likewise),
            or one of the package's own by name.
        lora: adapters that are learnt in a snapshot's network, from pictures, not from stored features; None: none.
        sound_features: length of the stored sound vectors.
        inputs: faces, sound, or both; what is not used counts as missing.
        answers: one for every frame; or one for the window, which is that of the frame in its middle.
        dim: of both streams.
        dilations: of the residual blocks over time, of two convolutions each.
        kernel: of the convolutions, odd.
        fusion: ``attention`` from each stream to the other; or their ``concatenation`` as they are.
        heads, hidden: of the attentions, and units of their dense blocks.
        head: units of the dense layer before the answer.
        dropout: after each convolution and dense layer, and of attention weights.
        reach_s: a frame without a sound vector this near in time, in seconds, has no sound.
        dropping: modalities hidden in training.
        guidance: the contrastive loss.
        counts: how often each expression occurs in the training set; one weighs 1 / sqrt of it. Empty: all the same.
    """

    encoder: str = "aligned"
    lora: Lora | None = None
    sound_features: int = 768
    inputs: Literal["both", "face", "sound"] = "both"
    answers: Literal["all", "middle"] = "all"
    dim: int = 512
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    kernel: int = 3
    fusion: Literal["attention", "concatenation"] = "attention"
    heads: int = 8
    hidden: int = 1024
    head: int = 256
    dropout: float = 0.2
    reach_s: float = 0.1
    dropping: Dropping = field(default_factory=Dropping)
    guidance: Guidance = Guidance()
    counts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim must be a multiple of twice the {self.heads} heads, found {self.dim}")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, found {self.kernel}")
        if self.counts and (len(self.counts) != len(EXPRESSIONS) or min(self.counts) < 1):
            raise ValueError(f"counts: expected {len(EXPRESSIONS)} of at least 1, found {self.counts}")


class Block(nn.Module):
    """Two dilated convolutions over time beside a shortcut, as in Bai et al. (2018), but looking both ways."""

    def __init__(self, dim: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        reach = dilation * (kernel - 1) // 2
        self.convolutions = nn.ModuleList(
            [nn.Conv1d(dim, dim, kernel, padding=reach, dilation=dilation) for _ in range(2)]
        )
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, T) -> the same."""
        inner = x
        for convolution in self.convolutions:
            inner = functional.dropout(convolution(inner).relu(), self.dropout, self.training)
        return (x + inner).relu()


class Exchange(nn.Module):
    """What one stream finds in the other, by attention, then a dense block; each added and normalised after."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = CrossAttention(dim, heads, dropout)
        self.dense = nn.Sequential(
            nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, dim), nn.Dropout(dropout)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, other: Tensor, known: Tensor) -> Tensor:
        """x (B, T, dim), other (B, T, dim), of which only what is known (B, T) counts -> (B, T, dim)."""
        x = self.attention(x, other, known[:, None].expand(-1, x.shape[1], -1))
        found: Tensor = self.norm(x + self.dense(x))
        return found


@register("crossattn", summary="Expression from face and voice by cross-attention both ways, guided by text (ABAW10).")
class CrossAttentionModel(AffectMethod):
    """Frozen encoders -> convolutions over the faces -> attention both ways -> 8 logits for each frame or window."""

    Config = CrossAttentionConfig
    texts: Tensor

    def __init__(self, config: CrossAttentionConfig) -> None:
        super().__init__(config)
        self.encoder = adapted(open_face_network(config.encoder), config.lora)
        self.face = nn.Linear(self.encoder.info.dim, config.dim)
        self.sound = nn.Linear(config.sound_features, config.dim)
        self.temporal = nn.Sequential(
            *(Block(config.dim, config.kernel, dilation, config.dropout) for dilation in config.dilations)
        )
        if config.fusion == "attention":
            self.to_sound, self.to_face = (
                Exchange(config.dim, config.heads, config.hidden, config.dropout) for _ in range(2)
            )
        self.classify = nn.Sequential(
            nn.Linear(2 * config.dim, config.head), nn.ReLU(), nn.Dropout(config.dropout),
            nn.Linear(config.head, len(EXPRESSIONS)),
        )  # fmt: skip
        guidance = config.guidance
        if guidance.text:
            self.to_text = nn.Linear(config.dim, guidance.features, bias=False)
            texts = torch.full((len(EXPRESSIONS), guidance.features), nan)  # read when training begins, kept with it
            if guidance.text == LEARNT:
                self.texts = nn.Parameter(nn.init.normal_(texts))
            else:
                self.register_buffer("texts", texts)

    @property
    def frozen(self) -> tuple[str, ...]:
        return ("encoder",)

    def open_data(self, path: Path, section: dict[str, Any]) -> AffectData:
        """As of all systems; reads the text features, too."""
        data = super().open_data(path, section)
        if self.config.inputs != "face" and data.sound is None:
            raise RecipeError(
                f"The model's inputs are {self.config.inputs}, the data name no sound.",
                "Give data.sound_encoder and data.sound_s, or set model.inputs to face.",
            )
        if data.config.windows.answers != self.config.answers:
            what = "every frame" if self.config.answers == "all" else "the middle of a window"
            raise RecipeError(f"The model answers for {what}.", f"Set data.windows.answers to {self.config.answers}.")
        data.sound_suffices = self.config.inputs != "face"
        self.read_texts()
        return data

    def example_batch(self) -> AffectBatch:
        return AffectBatch.example(4, 12, L=12, sound=self.config.sound_features)

    def forward(self, batch: AffectBatch) -> AffectOutput:
        """(B, L, 8) logits; NaN in windows without any face or sound that is used."""
        seen, heard = self.known(batch)
        faces, sounds, heard = self.streams(batch, seen, heard)
        logits = self.fuse(batch, faces, sounds, seen, heard)
        empty = ~(seen | heard).any(1)[:, None, None]
        return AffectOutput(expression=logits.masked_fill(empty, nan))

    def loss(self, batch: AffectBatch, progress: float) -> dict[str, Tensor]:
        """Cross-entropy by class weights, and the contrastive loss of frames with a face."""
        seen, heard = self.config.dropping.draw(*self.known(batch))
        faces, sounds, heard = self.streams(batch, seen, heard)
        logits = self.fuse(batch, faces, sounds, seen, heard)
        label, valid = labels(batch, "expression")
        valid = valid & (seen | heard).any(1, keepdim=True)
        weights = logits.new_tensor(root_weights(self.config.counts)) if self.config.counts else None
        terms = {"expression": weighted_cross_entropy(logits[valid], label[valid], weights)}
        if self.config.guidance.text:
            self.read_texts()
            shown = valid & seen  # (B, T): of a label of the window, all of its faces
            terms["guidance"] = self.config.guidance.weight * contrast(
                self.to_text(faces[shown]), self.texts, label.expand_as(shown)[shown], self.config.guidance.temperature
            )
        return terms

    def known(self, batch: AffectBatch) -> tuple[Tensor, Tensor]:
        """(B, T) frames with a face, (B, Ta) steps with sound, as far as these are used."""
        return batch.face_valid & (self.config.inputs != "sound"), self._stored(batch)[1]

    def streams(self, batch: AffectBatch, seen: Tensor, heard: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Faces (B, T, dim), sound of the same frames (B, T, dim), and (B, T) which frames have some.

        Args:
            seen: (B, T) frames whose face is used.
            heard: (B, Ta) steps whose sound is used.
        """
        faces = self.face(face_features(self.encoder, batch)) * seen[..., None]
        faces = self.temporal(faces.transpose(1, 2)).transpose(1, 2)  # (B, T, dim)
        values, _, times_s = self._stored(batch)
        sounds, heard = align(values, heard, times_s, batch.time_s, self.config.reach_s)
        return faces, self.sound(sounds) * heard[..., None], heard

    def fuse(self, batch: AffectBatch, faces: Tensor, sounds: Tensor, seen: Tensor, heard: Tensor) -> Tensor:
        """(B, L, 8) logits: each stream with what it finds in the other, side by side; of a window, their mean."""
        if self.config.fusion == "attention":
            place = sinusoid((batch.time_s - batch.time_s[:, :1]) * FRAME_RATE, self.config.dim)  # (B, T, dim)
            faces, sounds = faces + place, sounds + place
            faces, sounds = self.to_sound(faces, sounds, heard), self.to_face(sounds, faces, seen)
        joined = torch.cat([faces, sounds], -1)  # (B, T, 2 dim)
        if self.config.answers == "middle":
            known = (seen | heard)[..., None]  # (B, T, 1)
            joined = (joined * known).sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)  # (B, 1, 2 dim)
        logits: Tensor = self.classify(joined)  # (B, L, 8)
        return logits

    def read_texts(self) -> None:
        """Have CLIP read the prompts, if it has not yet; the features are then part of the model.

        Raises:
            WeightsError: the snapshot is not here.
            RecipeError: its text features are of another length.
        """
        guidance = self.config.guidance
        if guidance.text is None or guidance.text == LEARNT or not self.texts.isnan().any():
            return
        encoder = open_text_encoder(guidance.text)
        if encoder.info.dim != guidance.features:
            raise RecipeError(
                f"The text features of {guidance.text} have {encoder.info.dim} numbers, not {guidance.features}.",
                f"Set model.guidance.features to {encoder.info.dim}.",
            )
        with torch.no_grad():
            self.texts.copy_(encoder(list(guidance.prompts)))

    def _stored(self, batch: AffectBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Sound vectors (B, Ta, Da), which are there and used (B, Ta), and their times (B, Ta)."""
        return batch.stored_sound(self.config.sound_features, used=self.config.inputs != "face")


def align(values: Tensor, known: Tensor, times_s: Tensor, at_s: Tensor, reach_s: float) -> tuple[Tensor, Tensor]:
    """Give each frame the nearest step of another stream: (B, T, D), zero without one, and (B, T) whether there is one.

    Args:
        values: (B, Ta, D) steps.
        known: (B, Ta) bool; the others are never taken.
        times_s: (B, Ta) seconds of the steps, in any order and at any distance.
        at_s: (B, T) seconds of the frames, on the same clock.
        reach_s: a step further away than this is none.
    """
    distance = (at_s[:, :, None] - times_s[:, None]).abs().masked_fill(~known[:, None], torch.inf)  # (B, T, Ta)
    nearest, index = distance.min(-1)  # (B, T) each
    taken = values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))  # (B, T, D)
    found = nearest <= reach_s
    return taken.masked_fill(~found[..., None], 0.0), found


def contrast(features: Tensor, texts: Tensor, label: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of the label among the texts, by cosine / temperature; 0, with a gradient of 0, without features.

    Args:
        features: (N, D).
        texts: (C, D).
        label: (N,) rows of ``texts``.
    """
    features, label = processes.whole(features, label)
    if not len(features):
        return features.sum()
    logits = functional.normalize(features.float(), dim=-1) @ functional.normalize(texts.float(), dim=-1).T  # (N, C)
    return functional.cross_entropy(logits / temperature, label)


def weighted_cross_entropy(logits: Tensor, label: Tensor, weights: Tensor | None) -> Tensor:
    """The weighted mean over (N, C) logits of all processes; 0, with a gradient of 0, without any."""
    logits, label = processes.whole(logits, label)
    return functional.cross_entropy(logits.float(), label, weights) if len(label) else logits.sum()


def root_weights(counts: tuple[float, ...]) -> list[float]:
    """1 / sqrt(n_c), scaled to a mean of 1."""
    roots = [count**-0.5 for count in counts]
    return [root * len(roots) / sum(roots) for root in roots]
