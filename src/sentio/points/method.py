"""What the up-sampling systems share: how they are measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from sentio.core.config import from_dict, to_dict
from sentio.core.method import Graph, Method
from sentio.core.progress import Tell, silent
from sentio.points.evaluate import Evaluation, EvaluationConfig, Floats, Upsampler, evaluate_shapes
from sentio.points.networks import Model
from sentio.points.upsample import upsample_by


class PointsMethod(Method):
    """A Method whose graphs are those of the inference network of its name; see ``points.networks``."""

    def evaluate(self, path: Path, section: dict[str, Any], *, data: dict[str, Any], tell: Tell = silent) -> Evaluation:
        """Up-sample clouds of a folder of meshes; see :class:`~sentio.points.evaluate.EvaluationConfig`."""
        config = from_dict(EvaluationConfig, section, where=f"evaluation of {self.name}")
        return evaluate_shapes(path, {self.name: self.upsampler()}, config, tell=tell)

    def upsampler(self) -> Upsampler:
        """This network as what is measured: a function of a cloud, a ratio and a start."""
        sessions = {graph.name: TorchSession(graph, self.device) for graph in self.graphs()}
        model = Model(self.name, sessions, to_dict(self.config))

        def up(points: Floats, ratio: float, start: int) -> Floats:
            return upsample_by(model, points, ratio, start=start)

        return up


@dataclass(frozen=True)
class TorchSession:
    """A graph that runs in torch, called as ONNX Runtime calls its own."""

    graph: Graph
    device: torch.device

    @torch.no_grad()
    def run(self, outputs: Sequence[str], feed: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Values of the named outputs for named inputs."""
        inputs = [torch.from_numpy(feed[name]).to(self.device) for name in self.graph.inputs]
        found = self.graph.module.eval()(*inputs)
        values = found if isinstance(found, tuple) else (found,)
        named = dict(zip(self.graph.outputs, values, strict=True))
        return [named[name].cpu().numpy() for name in outputs]
