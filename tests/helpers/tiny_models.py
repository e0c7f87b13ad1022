"""Small models of random weights in the place of the embedded ones: quick, and different for every seed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sentio.core import weights

FACE = {
    "valence_arousal": 2, "expression": 8, "action_units": 12, "further_units": 6, "intensities": 18, "pose": 3,
    "landmarks": (68, 2),
}  # fmt: skip
VOICE = {"speech": None, "valence_arousal": 2, "expression": 8}
OVER_TIME = {
    "offline": {},
    "causal": {"causal": True},
    "capnet": {"causal": True, "outputs": ("valence_arousal",)},
    "offline-av": {"hears": True},
    "causal-av": {"causal": True, "hears": True},
}
SQUASH = {"valence_arousal": "Tanh", "expression": "Softmax", "landmarks": "Tanh", "pose": "Identity"}
"""The others are probabilities."""


def write_face(
    folder: Path,
    *,
    seed: int = 0,
    side: int = 80,
    outputs: dict[str, int | tuple[int, ...]] = FACE,
    features: bool = True,
    **changes,
) -> Path:
    """A network of one layer over 4 x 4 means of the crop; returns its card."""
    random = np.random.default_rng(seed)
    stride = side // 4
    nodes = [
        helper.make_node("AveragePool", ["face"], ["means"], kernel_shape=[stride] * 2, strides=[stride] * 2),
        helper.make_node("Flatten", ["means"], ["features"]),
    ]
    constants = []
    shapes = {name: (shape,) if isinstance(shape, int) else shape for name, shape in outputs.items()}
    for name, shape in shapes.items():
        constants.append(_constant(f"{name}_weights", random.normal(0, 1, (48, np.prod(shape)))))
        constants.append(numpy_helper.from_array(np.array([-1, *shape]), f"{name}_shape"))
        nodes.append(helper.make_node("MatMul", ["features", f"{name}_weights"], [f"{name}_raw"]))
        nodes.append(helper.make_node(SQUASH.get(name, "Sigmoid"), [f"{name}_raw"], [f"{name}_flat"]))
        nodes.append(helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [name]))
    return _write(
        folder, "face", nodes, constants, {"face": ["n", 3, side, side]},
        {name: ["n", *shape] for name, shape in {**shapes, **({"features": (48,)} if features else {})}.items()},
        details={"thresholds": [0.5] * 12}, **changes,
    )  # fmt: skip


def write_voice(folder: Path, *, seed: int = 0) -> Path:
    """Speech is the loudness of the newest quarter of a second, the affect a layer over twelve more of them."""
    random = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Abs", ["sound"], ["size"]),
        helper.make_node("Reshape", ["size", "shape"], ["quarters"]),
        helper.make_node("ReduceMean", ["quarters", "axis"], ["loudness"], keepdims=0),
        helper.make_node("Gather", ["loudness", "last"], ["newest"], axis=1),
        helper.make_node("Mul", ["newest", "gain"], ["loud"]),
        helper.make_node("Tanh", ["loud"], ["speech"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([0, 12, 4000]), "shape"),
        numpy_helper.from_array(np.array([2]), "axis"),
        numpy_helper.from_array(np.array(11), "last"),
        _constant("gain", np.array(40.0)),
    ]
    for name in ("valence_arousal", "expression"):
        constants.append(_constant(f"{name}_weights", random.normal(0, 10, (12, VOICE[name]))))
        nodes.append(helper.make_node("MatMul", ["loudness", f"{name}_weights"], [f"{name}_raw"]))
        nodes.append(helper.make_node(SQUASH[name], [f"{name}_raw"], [name]))
    outputs = {name: ["n"] if width is None else ["n", width] for name, width in VOICE.items()}
    return _write(folder, "voice", nodes, constants, {"sound": ["n", 48_000]}, outputs, details={"threshold": 0.5})


def write_temporal(
    folder: Path,
    name: str,
    *,
    seed: int = 0,
    causal: bool = False,
    features: int = 48,
    outputs=("valence_arousal", "expression", "action_units"),
    hears: bool = False,
) -> Path:
    """Half of the answer follows from the face, half from the faces of the window, or from a mean of those before.

    A frame without a face has the mean alone; time counts for a little, and so does the voice, if it is heard.
    """
    random, frames = np.random.default_rng(seed), [1] if causal else [1, 100]
    nodes = [
        helper.make_node("Cast", ["valid"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["seen", "last"], ["there"]),
        helper.make_node("Mul", ["features", "there"], ["faces"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([-1]), "last"),
        numpy_helper.from_array(np.array([len(frames) - 1]), "frames"),
        _constant("half", np.array(0.5)),
        _constant("tenth", np.array(0.1)),
    ]
    if causal:
        nodes += [
            helper.make_node("Mul", ["state_mean", "half"], ["old"]),
            helper.make_node("Mul", ["faces", "half"], ["new"]),
            helper.make_node("Add", ["old", "new"], ["next_mean"]),
            helper.make_node("Identity", ["time_s"], ["next_time_s"]),
            helper.make_node("Sub", ["time_s", "state_time_s"], ["passed"]),
            helper.make_node("Identity", ["next_mean"], ["mean"]),
        ]
    else:
        nodes += [
            helper.make_node("ReduceMean", ["faces", "frames"], ["mean"]),
            helper.make_node("Identity", ["time_s"], ["passed"]),
        ]
    nodes += [
        helper.make_node("Cast", ["passed"], ["late"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["late", "last"], ["later"]),
        helper.make_node("Mul", ["later", "tenth"], ["clock"]),
        helper.make_node("Add", ["faces", "mean"], ["both"]),
        helper.make_node("Add", ["both", "clock"], ["seen_sum" if hears else "sum"]),
    ]
    if hears:
        constants.append(_constant("voice_weights", random.normal(0, 0.2, (11, features))))
        nodes += [
            helper.make_node("Cast", ["heard"], ["theirs"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["theirs", "last"], ["own"]),
            helper.make_node("MatMul", ["voice", "voice_weights"], ["sound"]),
            helper.make_node("Add", ["sound", "own"], ["told"]),
            helper.make_node("Add", ["seen_sum", "told"], ["sum"]),
        ]
    for output in outputs:
        constants.append(_constant(f"{output}_weights", random.normal(0, 0.5, (features, FACE[output]))))
        nodes.append(helper.make_node("MatMul", ["sum", f"{output}_weights"], [f"{output}_raw"]))
        nodes.append(helper.make_node(SQUASH.get(output, "Sigmoid"), [f"{output}_raw"], [output]))
    state = {"mean": [1, features], "time_s": [1]} if causal else {}
    answers = {output: [*frames, FACE[output]] for output in outputs}
    shown = {"features": [*frames, features], "valid": frames, "time_s": frames}
    shown |= {"voice": [*frames, 11], "heard": frames} if hears else {}
    doubles = ("time_s", "state_time_s", "next_time_s")
    return _write(
        folder, name, nodes, constants,
        shown | {f"state_{key}": shape for key, shape in state.items()},
        answers | {f"next_{key}": shape for key, shape in state.items()},
        details={"length": 100, "hop": 50, "thresholds": [0.4] * 12, "intervals": {"valence": 0.25, "arousal": 0.5}},
        kinds={"valid": TensorProto.BOOL, "heard": TensorProto.BOOL, **dict.fromkeys(doubles, TensorProto.DOUBLE)},
    )  # fmt: skip


def install(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Write them all, and let the package find its weights in ``folder``, the others as they are."""
    for file in weights.EMBEDDED.iterdir():
        if file.stem not in ("face", "voice", *OVER_TIME):
            (folder / file.name).symlink_to(file)
    write_face(folder)
    write_voice(folder)
    for seed, (name, kind) in enumerate(OVER_TIME.items(), 1):
        write_temporal(folder, name, seed=seed, **kind)
    patch.setattr(weights, "EMBEDDED", folder)
    weights.cards.cache_clear()
    return folder


def _constant(name: str, values: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)


def _write(folder, file, nodes, constants, inputs, outputs, *, details, kinds=None, **changes) -> Path:
    kinds = kinds or {}
    tensors = [
        [helper.make_tensor_value_info(key, kinds.get(key, TensorProto.FLOAT), shape) for key, shape in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, file, *tensors, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content = model.SerializeToString()
    (folder / f"{file}.onnx").write_bytes(content)
    described = {"file": f"{file}.onnx", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    card = {
        "name": file,
        "summary": "Random.",
        "licence": "Apache-2.0",
        "source": "these tests",
        "files": {"onnx": described},
        "inputs": changes.pop("promised", inputs),
        "outputs": outputs,
        "details": details,
    }
    path = folder / f"{file}.json"
    path.write_text(json.dumps(card | changes))
    return path
