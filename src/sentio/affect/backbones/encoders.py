"""Encoders by name or file: published ones through transformers, or a trained system's own."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sentio.affect.backbones import Encoder, EncoderInfo
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
        spec: a name of ``networks.NETWORKS``; or a snapshot of ViT or CLIP, see :func:`open_encoder`.

    Raises:
        RecipeError: it is neither.
        WeightsError: the snapshot is not here.
    """
    if spec in NETWORKS:
        return make_network(spec)  # type: ignore[arg-type]
    kind, _, _ = spec.partition(":")
    if kind not in PICTURES and not _is_snapshot(spec):
        known = f"Choose one of: {', '.join((*NETWORKS, *PICTURES))}."
        raise RecipeError(f"There is no face network {spec!r}.", known)
    encoder = open_encoder(spec)
    refuse_sound(spec, encoder.info)
    return encoder


def refuse_sound(spec: str, info: EncoderInfo) -> None:
    """See that an encoder takes faces.

    Raises:
        RecipeError: it takes sound.
    """
    if info.size is None:
        raise RecipeError(f"{spec} takes sound, and not faces.", "Choose vit, clip or a snapshot of them.")


def refuse_faces(spec: str, info: EncoderInfo) -> None:
    """See that an encoder takes sound.

    Raises:
        RecipeError: it takes faces.
    """
    if info.rate is None:
        raise RecipeError(f"{spec} takes faces, and not sound.", "Choose wav2vec2, whisper, ast or a snapshot of them.")


def open_encoder(spec: str, *, fetch: bool = False) -> Encoder:
    """A frozen encoder, ready to use.

    Args:
        spec: ``vit``, ``clip``, ``wav2vec2``, ``ast`` or ``whisper`` for published weights (see
            ``pretrained.ENCODERS``); the same with ``:NAME`` or ``:FOLDER`` for others of that architecture; the name
            with the publisher (``openai/clip-vit-base-patch32``) or the folder of a snapshot alone, which tells its
            architecture; or a trained system, whose own encoder is taken: a ``.safetensors`` file, or the name of
            weights that come with the package (``face``, ``voice``).
        fetch: allow a download of published weights.

    Raises:
        WeightsError: the weights are not here (the message says how to get them), damaged, or not safetensors.
        RecipeError: there is no such kind, or the system has no encoder.
    """
    if is_trained(spec):
        encoder = weights.load(spec).part("encoder")
        encoder.info = dataclasses.replace(encoder.info, provenance=Path(spec).name)
        return cast(Encoder, encoder.requires_grad_(False).eval())
    from sentio.affect.backbones import pretrained

    kind, name = parse(spec, fetch=fetch)
    if kind not in pretrained.ENCODERS:
        known = f"Choose one of: {', '.join(pretrained.ENCODERS)}, a snapshot, or a trained system."
        raise RecipeError(f"There is no encoder {kind!r}.", known)
    make, published = pretrained.ENCODERS[kind]
    return cast(Encoder, make(name or published, fetch=fetch))


def open_text_encoder(spec: str, *, fetch: bool = False) -> "ClipTextEncoder":
    """A frozen text encoder: ``clip``, ``clip:NAME`` or ``clip:FOLDER``, or a CLIP snapshot's name or folder alone.

    Raises:
        WeightsError: the weights are not here, damaged, or not safetensors.
        RecipeError: another kind.
    """
    from sentio.affect.backbones import pretrained, text

    kind, name = parse(spec, fetch=fetch)
    if kind != "clip":
        raise RecipeError(f"There is no text encoder {kind!r}.", "Choose clip, clip:NAME or clip:FOLDER.")
    return text.ClipTextEncoder(name or pretrained.ENCODERS[kind][1], fetch=fetch)


def _is_snapshot(spec: str) -> bool:
    """Whether a spec is a snapshot's name or folder, without a kind before it."""
    return Path(spec).is_dir() or ("/" in spec and ":" not in spec)


def is_trained(spec: str) -> bool:
    """Whether a spec is a trained system, whose encoder is meant."""
    return spec.endswith(".safetensors") or spec in weights.cards()


def called(spec: str) -> tuple[str, ...]:
    """What the provenance of an encoder may say, see :class:`EncoderInfo`: a published name, or that of a folder."""
    from sentio.affect.backbones import pretrained

    kind, _, name = spec.partition(":")
    if not name:
        name = pretrained.ENCODERS[kind][1] if kind in pretrained.ENCODERS else spec
    return name, Path(name).name


def parse(spec: str, *, fetch: bool = False) -> tuple[str, str]:
    """Kind and name (or folder) of a published encoder; a snapshot without a kind before it tells its own."""
    from sentio.affect.backbones import snapshots

    kind, _, name = spec.partition(":")
    if kind not in snapshots.KINDS.values() and _is_snapshot(spec):
        return snapshots.kind_of(spec, fetch=fetch), spec
    return kind, name
