"""From trained weights to the files that inference reads: ONNX graphs, safetensors, cards.

``python -m sentio.core.export RUN/best.safetensors [--score TEXT ...]`` writes into ``sentio/weights``. Any Method can
be exported that has ``graphs() -> list[Graph]``; the graph that bears the Method's name gets the safetensors file, too.
"""

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sentio.core import weights
from sentio.core.config import to_dict
from sentio.core.weights import Card, WeightFile
from sentio.core.writers import atomic_path, write_json

OPSET = 18


@dataclass(frozen=True)
class Graph:
    """A module to be traced, and what its card says.

    Attributes:
        inputs: examples.
        outputs: names, in the module's order.
        free: names of the free dimensions of each tensor, which are its first ones.
        training_data: sources with their licences.
        use: what the model is for, and what not.
        details: numbers that inference needs besides the graph, such as thresholds.
    """

    name: str
    summary: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    free: Mapping[str, tuple[str, ...]]
    preprocessing: str
    training_data: tuple[str, ...]
    use: str
    details: Mapping[str, Any] = field(default_factory=dict)


def write_onnx(graph: Graph, path: Path) -> None:
    """Trace a graph to an ONNX file, atomically."""
    axes = {name: dict(enumerate(dimensions)) for name, dimensions in graph.free.items()}
    with atomic_path(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's notes on its own deprecation
        torch.onnx.export(
            graph.module.eval(), tuple(graph.inputs.values()), str(temporary), dynamo=False, opset_version=OPSET,
            input_names=list(graph.inputs), output_names=list(graph.outputs), dynamic_axes=axes,
        )  # fmt: skip


def export(
    source: Path, folder: Path = weights.EMBEDDED, *, command: str = "", scores: Sequence[str] = ()
) -> list[Path]:
    """Write ONNX files, safetensors and cards of trained weights.

    Args:
        source: ``best.safetensors`` of a run.
        folder: where to.
        command: the command that trained them, for the card.
        scores: lines for the card, each with its protocol.

    Returns:
        The cards.
    """
    method = weights.load(source).eval()
    folder.mkdir(parents=True, exist_ok=True)
    tensors = folder / f"{method.name}.safetensors"
    weights.save(tensors, method)
    cards = []
    for graph in method.graphs():
        model = folder / f"{graph.name}.onnx"
        write_onnx(graph, model)
        files = {"onnx": _file(model)}
        if graph.name == method.name:
            files["safetensors"] = _file(tensors)
        card = Card(
            name=graph.name,
            summary=graph.summary,
            licence="Apache-2.0",
            source="trained by this project",
            files=files,
            inputs={name: _shape(graph.free[name], value) for name, value in graph.inputs.items()},
            outputs={name: _shape(graph.free[name], value) for name, value in _outputs(graph).items()},
            system=method.name,
            config=to_dict(method.config),
            preprocessing=graph.preprocessing,
            training_data=graph.training_data,
            command=command,
            scores=tuple(scores),
            use=graph.use,
            details=dict(graph.details),
        )
        cards.append(folder / f"{graph.name}.json")
        write_json(cards[-1], asdict(card))
    return cards


def _file(path: Path) -> WeightFile:
    return WeightFile(path.name, weights.sha256(path), path.stat().st_size)


def _shape(free: tuple[str, ...], value: Tensor) -> tuple[int | str, ...]:
    return (*free, *value.shape[len(free) :])


def _outputs(graph: Graph) -> dict[str, Tensor]:
    with torch.no_grad():
        found: Any = graph.module(*graph.inputs.values())
    return dict(zip(graph.outputs, found if isinstance(found, tuple) else (found,), strict=True))


def main() -> None:
    """The command of the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--folder", type=Path, default=weights.EMBEDDED)
    parser.add_argument("--command", default="")
    parser.add_argument("--score", action="append", default=[])
    given = parser.parse_args()
    for card in export(given.weights, given.folder, command=given.command, scores=given.score):
        print(card, json.loads(card.read_text())["files"]["onnx"]["bytes"], "bytes")


if __name__ == "__main__":
    main()
