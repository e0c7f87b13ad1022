"""The encoders that a recipe stands on, chosen together: each is named in several places, which have to agree."""

from contextlib import nullcontext
from dataclasses import fields, replace
from typing import Any

from sentio.affect.backbones import EncoderInfo
from sentio.affect.backbones.encoders import is_trained, open_encoder, parse, refuse_faces, refuse_sound
from sentio.affect.backbones.frozen import without_weights
from sentio.affect.backbones.published import PUBLISHED
from sentio.affect.data.features import SoundSteps
from sentio.core import registry, weights
from sentio.core.errors import RecipeError
from sentio.core.fake_tensors import FakeTensors, real_tensors
from sentio.core.runs import Recipe

REACH_S = (0.1, 0.05)
"""Seconds to the nearest sound vector: at least the first, and the hop and the second."""


def choose(plan: Recipe, visual: str | None = None, audio: str | None = None, *, fetch: bool = False) -> Recipe:
    """The recipe on other encoders.

    Args:
        visual: what sees the faces: ``model.encoder``, ``data.face_encoder`` where features are stored,
            ``start.encoder`` where it comes from a trained system, and CLIP's texts where CLIP's are used.
        audio: what hears: ``data.sound_encoder``, with its size and step. Both as for ``open_encoder``.
        fetch: allow a download of published weights.

    Raises:
        RecipeError: the system has no such encoder, or the encoder takes the other kind of input.
        WeightsError: the encoder is not on this machine.
    """
    known = {item.name for item in fields(registry.method(plan.system).Config)}
    if visual is not None:
        if "encoder" not in known:
            raise RecipeError(f"{plan.system} has no encoder of faces to be chosen.")
        plan = _see(plan, visual, fetch)
    if audio is not None:
        if plan.data.get("sound_encoder") is None or "sound_features" not in known:
            raise RecipeError(f"This recipe of {plan.system} has no encoder of sound to be chosen.")
        plan = _hear(plan, audio, known, fetch)
    return plan


def choose_unread(plan: Recipe, visual: str | None = None, audio: str | None = None) -> Recipe:
    """The same, with no weights read: of published encoders the small files suffice, known or in a snapshot."""
    with FakeTensors(), without_weights(PUBLISHED):
        return choose(plan, visual, audio)


def _info(spec: str, fetch: bool) -> EncoderInfo:
    """Of an encoder; those of trained systems have their weights."""
    with real_tensors() if is_trained(spec) else nullcontext():
        return open_encoder(spec, fetch=fetch).info


def _see(plan: Recipe, spec: str, fetch: bool) -> Recipe:
    info = _info(spec, fetch)
    refuse_sound(spec, info)
    start = {part: path for part, path in plan.start.items() if part != "encoder"}
    model: dict[str, Any] = {}
    if is_trained(spec):
        start["encoder"] = spec
        with real_tensors():
            model["encoder"] = weights.load(spec).config.encoder
    else:
        spec = model["encoder"] = _whole(spec, fetch)
    data = {"face_encoder": spec} if plan.data.get("face_encoder") else {}
    guidance = plan.model.get("guidance", {})
    if spec.partition(":")[0] == "clip" and guidance.get("text") not in (None, "learnt"):
        model["guidance"] = guidance | {"text": spec, "features": info.dim}
    return replace(plan, model=plan.model | model, data=plan.data | data, start=start)


def _hear(plan: Recipe, spec: str, known: set[str], fetch: bool) -> Recipe:
    info = _info(spec, fetch)
    refuse_faces(spec, info)
    hop_s = info.hop_s or plan.data.get("sound_steps", {}).get("hop_s", SoundSteps().hop_s)
    facts = {"sound_features": info.dim, "reach_s": round(max(REACH_S[0], hop_s + REACH_S[1]), 3)}
    model = {name: value for name, value in facts.items() if name in known}
    data = {"sound_encoder": spec if is_trained(spec) else _whole(spec, fetch)}
    return replace(plan, model=plan.model | model, data=plan.data | data)


def _whole(spec: str, fetch: bool) -> str:
    """``KIND:NAME`` of a published encoder, or KIND for what is published under it."""
    kind, name = parse(spec, fetch=fetch)
    return f"{kind}:{name}" if name else kind
