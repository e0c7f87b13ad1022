"""From trained weights to the files that inference reads: ONNX graphs, safetensors, cards.

``python -m sentio.core.export RUN/best.safetensors [--score TEXT ...]`` writes into ``sentio/weights``. Any Method can
be exported whose ``graphs()`` gives some; the graph that bears the Method's name gets the safetensors file, too.

What a card says in prose (licence, source, training data, use) no code knows: it is read from a JSON file (``--prose``)
with some of these keys, or kept from the card that is about to be replaced. Otherwise it is "not stated", since weights
that somebody else trained are not what the package's own cards say of theirs.
"""

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sentio.core import weights
from sentio.core.config import read_json, to_dict
from sentio.core.errors import RecipeError
from sentio.core.method import Graph
from sentio.core.weights import Card, WeightFile
from sentio.core.writers import atomic_path, write_json

OPSET = 18
PROSE = ("licence", "source", "training_data", "use")
"""The keys of a card that no code knows."""


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
    source: Path,
    folder: Path = weights.EMBEDDED,
    *,
    command: str = "",
    scores: Sequence[str] = (),
    prose: Path | None = None,
    shared: Mapping[str, str] | None = None,
    average: str | None = None,
    share: float = 0.5,
) -> list[Path]:
    """Write ONNX files, safetensors and cards of trained weights.

    Args:
        source: ``best.safetensors`` of a run.
        folder: where to.
        command: the command that trained them, for the card.
        scores: lines for the card, each with its protocol.
        prose: JSON file with the texts of the cards; those of the cards that are replaced if not given.
        shared: parts that embedded weights have, which are not written again; see :func:`sentio.core.weights.save`.
        average: weights to take the mean with, tensor by tensor: a file, or the name of a card.
        share: of those weights in the mean, from 0 to 1.

    Returns:
        The cards.

    Raises:
        RecipeError: the system has no graphs, or the file of texts has other keys.
        WeightsError: a shared part that is another one, or weights of another model to take the mean with.
    """
    method = weights.load(source).eval()
    if average is not None:
        _average(method, average, share)
    graphs = method.graphs()
    if not graphs:
        raise RecipeError(f"There is nothing to export of {method.name}: it has no graphs.")
    parts = {place: weights.promised(place) for place in (shared or {}).values()}
    texts = {graph.name: _prose(folder / f"{graph.name}.json", prose) for graph in graphs}
    folder.mkdir(parents=True, exist_ok=True)
    tensors = folder / f"{method.name}.safetensors"
    weights.save(tensors, method, shared=shared)
    cards = []
    for graph in graphs:
        model = folder / f"{graph.name}.onnx"
        write_onnx(graph, model)
        files = {"onnx": _file(model)}
        if graph.name == method.name:
            files["safetensors"] = _file(tensors)
        card = Card(
            name=graph.name,
            summary=graph.summary,
            files=files,
            inputs={name: _shape(graph.free[name], value) for name, value in graph.inputs.items()},
            outputs={name: _shape(graph.free[name], value) for name, value in _outputs(graph).items()},
            system=method.name,
            config=to_dict(method.config),
            preprocessing=graph.preprocessing,
            command=command,
            scores=tuple(scores),
            details=_with_parts(graph.details, parts),
            **texts[graph.name],
        )
        cards.append(folder / f"{graph.name}.json")
        write_json(cards[-1], asdict(card))
    return cards


def _average(method: Any, other: Path | str, share: float) -> None:
    """Take the mean with trained weights of the same shapes: what lies between a start and its fine-tuning is often
    better than both (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
    """
    own = {name: value.clone() for name, value in method.state_dict().items()}
    weights.load_into(method, other)
    mean = {
        name: own[name].lerp(value, share) if value.is_floating_point() else own[name]
        for name, value in method.state_dict().items()
    }
    method.load_state_dict(mean)


def _with_parts(details: Mapping[str, Any], parts: dict[str, str]) -> dict[str, Any]:
    """A card's details, which tell the weights that it shares parts with beside those that the graph stands on."""
    stands_on = details.get("stands_on", {}) | parts
    return dict(details) | ({"stands_on": stands_on} if stands_on else {})


def _prose(card: Path, given: Path | None) -> dict[str, Any]:
    """The texts of a card: given ones, or those that it has where it lies."""
    texts = dict.fromkeys(("licence", "source"), "not stated")
    if given is not None:
        found = read_json(given)
        if unknown := sorted(set(found) - set(PROSE)):
            raise RecipeError(f"{given}: unknown key {unknown[0]!r}.", f"Valid keys: {', '.join(PROSE)}.")
    else:
        found = read_json(card) if card.is_file() else {}
    return texts | {key: found[key] for key in PROSE if key in found}


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
    parser.add_argument("--prose", type=Path, help="JSON file with licence, source, training_data, use")
    parser.add_argument("--average", metavar="WEIGHTS", help="take the mean with these: a file, or the name of a card")
    parser.add_argument("--average-share", type=float, default=0.5, help="their share in it, from 0 to 1")
    parser.add_argument("--shared", action="append", default=[], metavar="PART=NAME", help="what NAME has already")
    given = parser.parse_args()
    shared = dict(pair.split("=", 1) for pair in given.shared)
    told = {"command": given.command, "scores": given.score, "prose": given.prose}
    mean = {"average": given.average, "share": given.average_share}
    for card in export(given.weights, given.folder, **told, **mean, shared=shared):
        print(card, json.loads(card.read_text())["files"]["onnx"]["bytes"], "bytes")


if __name__ == "__main__":
    main()
