"""Encoders by name or file: published ones through transformers, or a trained system's own."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sentio.affect.backbones import Encoder
from sentio.affect.backbones.networks import NETWORKS, make_network
from sentio.core import weights
from sentio.core.errors import RecipeError

if TYPE_CHECKING:
    from sentio.affect.backbones.text import ClipTextEncoder

PICTURES = ("vit", "clip")
"""Kinds of published encoders that take faces."""


def open_face_network(spec: str) -> Encoder:
    """The face network of a system: one of the package's own with random weights, to be filled by ``start``, or a
    frozen published snapshot.

    Args:
        spec: a name of ``networks.NETWORKS``; or ``vit``, ``clip``, the same with ``:NAME`` or ``:FOLDER``.

    Raises:
        RecipeError: it is neither.
        WeightsError: the snapshot is not here.
    """
    if spec in NETWORKS:
        return make_network(spec)  # type: ignore[arg-type]
    if spec.partition(":")[0] not in PICTURES:
        raise RecipeError(f"There is no face network {spec!r}.", f"Choose one of: {', '.join((*NETWORKS, *PICTURES))}.")
    return open_encoder(spec)


def open_encoder(spec: str, *, fetch: bool = False) -> Encoder:
    """A frozen encoder, ready to use.

    Args:
        spec: ``vit``, ``clip``, ``wav2vec2``, ``ast`` or ``whisper`` for published weights (see
            ``pretrained.ENCODERS``); the same with ``:NAME`` or ``:FOLDER`` for others of that architecture; or a
            ``.safetensors`` file of a trained system, whose own encoder is taken.
        fetch: allow a download of published weights.

    Raises:
        WeightsError: the weights are not here (the message says how to get them), damaged, or not safetensors.
        RecipeError: there is no such kind, or the system has no encoder.
    """
    if spec.endswith(".safetensors"):
        encoder = weights.load(Path(spec)).part("encoder")
        encoder.info = dataclasses.replace(encoder.info, provenance=Path(spec).name)
        return cast(Encoder, encoder.requires_grad_(False).eval())
    from sentio.affect.backbones import pretrained

    kind, _, name = spec.partition(":")
    if kind not in pretrained.ENCODERS:
        raise RecipeError(f"There is no encoder {kind!r}.", f"Choose one of: {', '.join(pretrained.ENCODERS)}.")
    make, published = pretrained.ENCODERS[kind]
    return cast(Encoder, make(name or published, fetch=fetch))


def open_text_encoder(spec: str, *, fetch: bool = False) -> "ClipTextEncoder":
    """A frozen text encoder: ``clip``, ``clip:NAME`` or ``clip:FOLDER``.

    Raises:
        WeightsError: the weights are not here, damaged, or not safetensors.
        RecipeError: another kind.
    """
    from sentio.affect.backbones import pretrained, text

    kind, _, name = spec.partition(":")
    if kind != "clip":
        raise RecipeError(f"There is no text encoder {kind!r}.", "Choose clip, clip:NAME or clip:FOLDER.")
    return text.ClipTextEncoder(name or pretrained.ENCODERS[kind][1], fetch=fetch)
