"""Every registered system through its whole life; a new name needs a line in ``CASES``, and gets all of these tests."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("lightning", reason="needs the train extra")

import method_data  # noqa: E402
from accelerator import accelerator  # noqa: E402
from sentio.affect.training import detection  # noqa: E402
from sentio.core import export, registry, runs, runtime, weights  # noqa: E402
from sentio.core.config import from_dict  # noqa: E402
from sentio.core.errors import InputError, RecipeError  # noqa: E402
from sentio.core.method import Method, TrainingData  # noqa: E402
from sentio.points import metrics  # noqa: E402

PATCHES = {"procedural_shapes": 0, "clouds": 8, "patches": 2, "density": [300, 400]}
EXPR = {"sets": ["expr"], "validation_hop": 20}
VA = {"sets": ["va"], "validation_hop": 20}
EVERY = {"sets": ["mtl", "va", "expr", "au"], "validation_sets": ["mtl"], "validation_hop": 20}


@dataclass(frozen=True)
class Case:
    """How a system is trained in no time."""

    make: str
    """The function of ``method_data`` that fills a folder."""
    data: dict = field(default_factory=dict)
    model: dict = field(default_factory=dict)
    evaluation: dict = field(default_factory=dict)
    score: str = ""
    """A figure that its evaluation gives."""
    batch_size: int = 4


SMALL = {"encoder": "small"}
TINY = {"lstm": 8, "shared": [16], "heads": [8], "discriminator": [8], "inputs": "image"}
POINTS = {"channels": 16, "heads": 2, "neighbours": 6}
FRAMES = {"windows": {"length": 16, "hop": 8, "answers": "all", "padding": "mask"}}
JOINED = FRAMES | {"sets": ["va", "expr", "au"]}
HEARD = JOINED | {"sound_s": 2.0}
OVER_TIME = {"face": SMALL, "length": 16, "reach": 5, "dim": 16, "layers": 2, "heads": 2, "hidden": 16}
CASES = {
    "fer-tuned": Case("drawn", VA, SMALL, {"resamples": 10}, "p_va"),
    "capnet": Case("drawn", VA | {"windows": {"length": 4, "step": 5}}, SMALL | {"seconds": 1}, {}, "p_va"),
    "byel": Case("drawn", EXPR, SMALL | {"units": 16, "projection": 8}, {}, "p_expr", 48),
    "byel-transfer": Case("drawn", EXPR, SMALL, {}, "p_expr", 48),
    "multitask": Case("drawn", EVERY, SMALL | TINY, {}, "p_mtl", 16),
    "multitask-student": Case("drawn", EVERY, {"network": SMALL | TINY}, {}, "p_mtl", 16),
    "crossattn": Case(
        "drawn", EXPR | {"windows": {"length": 12, "hop": 6, "answers": "all", "padding": "mask"}},
        SMALL | {"inputs": "face", "dim": 16, "heads": 2, "hidden": 8, "head": 8, "guidance": {"text": "learnt"}},
        {"resamples": 10}, "p_expr",
    ),
    "masked": Case(
        "drawn", EXPR | {"windows": {"length": 12, "padding": "repeat"}},
        SMALL | {"length": 12, "layers": 1, "dim": 16, "heads": 2, "hidden": 8, "head": 16}, {}, "p_expr",
    ),
    "offline": Case("drawn", JOINED, OVER_TIME, {"resamples": 10}, "p_mtl"),
    "causal": Case("drawn", JOINED, OVER_TIME, {"fill": "previous"}, "p_mtl"),
    "offline-av": Case("drawn", HEARD, {"base": OVER_TIME, "dim": 8}, {"resamples": 10}, "p_mtl"),
    "causal-av": Case("drawn", HEARD, {"base": OVER_TIME, "dim": 8}, {"fill": "previous"}, "p_mtl"),
    "softprompt": Case(
        "drawn", VA | FRAMES, SMALL | {"units": 8, "layers": 1, "heads": 2, "sound_features": 6}, {}, "p_va"
    ),
    "face": Case("renders", score="p_mtl"),
    "detector": Case("heads", {}, {"widths": [4, 8, 8, 8, 8], "neck": 8}, {"pictures": 3}, "average_precision"),
    "voice": Case("spoken", {"held_out": ["08"]}, {"channels": [8, 8], "width": 16, "dilations": [1]}, {}, "uar"),
    "pu-any": Case(
        "meshes", PATCHES | {"patch": 60, "queries": 30}, POINTS | {"dilations": [1, 2], "query_neighbours": 5},
        {"input_points": 150, "ratio": 2.0}, "pu-any", 2,
    ),
    "pu-mfa": Case("meshes", PATCHES | {"patch": 64}, POINTS, {"input_points": 150, "ratio": 2.0}, "pu-mfa", 2),
}  # fmt: skip


@pytest.fixture(params=sorted(registry.entries()))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Data by the function that makes them, made once."""
    made = {}

    def folder(make):
        if make not in made:
            made[make] = tmp_path_factory.mktemp(make) / "data"
            getattr(method_data, make)(made[make])
        return made[make]

    return folder


def build(name) -> Method:
    torch.manual_seed(0)
    return registry.build(name, CASES[name].model)


def tensors_of(output) -> list[torch.Tensor]:
    """The tensors of an output, which may be a tensor, a tuple or a dataclass of them."""
    if isinstance(output, torch.Tensor):
        return [output]
    values = output if isinstance(output, tuple) else vars(output).values()
    return [value for value in values if isinstance(value, torch.Tensor)]


def test_every_name_is_built_as_it_is_registered(name):
    method = build(name)
    assert isinstance(method, Method) and method.name == name
    assert isinstance(method.config, type(method).Config) and method.training
    assert registry.entries()[name].summary.endswith(".")


def test_losses_are_finite_and_teach_what_is_not_frozen(name):
    method = build(name)
    batch = method.example_batch()
    terms = method.loss(batch, 0.5)
    assert terms and all(value.ndim == 0 and torch.isfinite(value) for value in terms.values())
    sum(terms.values()).backward()
    learnt = {key for key, value in method.named_parameters() if value.grad is not None and value.grad.any()}
    assert learnt
    assert not [key for key in learnt if key.split(".")[0] in method.frozen]
    for part in method.frozen:
        assert not method.part(part).training and not any(p.requires_grad for p in method.part(part).parameters())


def test_a_saved_method_says_the_same(name, tmp_path):
    method = build(name).eval()
    weights.save(tmp_path / "one.safetensors", method)
    again = weights.load(tmp_path / "one.safetensors").eval()
    assert again.config == method.config
    with torch.no_grad():
        one, two = (tensors_of(each(each.example_batch())) for each in (method, again))
    assert one and len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.nan_to_num(), b.nan_to_num())


def test_graphs_say_in_onnx_what_they_say_in_torch(name, tmp_path):
    pytest.importorskip("onnx", reason="needs the dev extra")
    method = build(name).eval()
    if not method.graphs():
        weights.save(tmp_path / "one.safetensors", method)
        with pytest.raises(RecipeError, match="nothing to export"):
            export.export(tmp_path / "one.safetensors", tmp_path / "made")
    for graph in method.graphs():
        export.write_onnx(graph, tmp_path / "one.onnx")
        session = runtime.onnx_session(tmp_path / "one.onnx")
        found = session.run(list(graph.outputs), {key: value.numpy() for key, value in graph.inputs.items()})
        with torch.no_grad():
            expected = graph.module(*graph.inputs.values())
        for a, b in zip(found, tensors_of(expected), strict=True):
            np.testing.assert_allclose(a, b.numpy(), atol=2e-4, rtol=1e-3)


def test_on_an_accelerator_no_tensor_stays_behind(name):
    """Loss, gradients, hooks, answers and exported graphs are there what they are on the CPU."""
    method, there = build(name), build(name)
    batch = method.example_batch()
    torch.manual_seed(1)
    terms = method.loss(batch, 0.5)
    sum(terms.values()).backward()
    with accelerator() as device:
        torch.manual_seed(1)
        found = there.to(device).loss(batch.to(device), 0.5)
        sum(found.values()).backward()
        assert {key: value.item() for key, value in found.items()} == pytest.approx(
            {key: value.item() for key, value in terms.items()}, rel=1e-3
        )
        pairs = list(zip(method.parameters(), there.parameters(), strict=True))
        assert all((one.grad is None) == (two.grad is None) for one, two in pairs)
        one, two = (torch.cat([pair[k].grad.cpu().flatten() for pair in pairs if pair[0].grad is not None])
                    for k in range(2))  # fmt: skip
        assert (one - two).norm() < 0.01 * one.norm()
        for each, seen in ((method, batch), (there, batch.to(device))):
            each.after_step()
            each.after_validation({"p_va": 0.1, "p_mtl": 0.1})
            assert tensors_of(each.eval()(seen))
        for graph in there.graphs():
            graph.module.to(device).eval()(*(value.to(device) for value in graph.inputs.values()))


def figures(values) -> list[float]:
    """All numbers of a report but times, in order."""
    if isinstance(values, dict):
        return [each for key, value in values.items() if key != "seconds" for each in figures(value)]
    if isinstance(values, list):
        return [each for value in values for each in figures(value)]
    return [values] if isinstance(values, int | float) else []


@pytest.mark.slow
def test_two_steps_of_training_and_an_evaluation(name, folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(detection, "HELD", 2)
    monkeypatch.setattr(metrics, "DISK_SEEDS", 30)
    case = CASES[name]
    plan = {"system": name, "model": case.model, "data": case.data, "evaluation": case.evaluation}
    plan["fit"] = {"steps": 2, "batch_size": case.batch_size, "lr": 1e-4, "device": "cpu"}
    torch.manual_seed(0)
    best = runs.train(from_dict(runs.Recipe, plan), folders(case.make), tmp_path / "run")
    assert best.is_file() and json.loads((tmp_path / "run/metrics.json").read_text())["history"]
    told = capsys.readouterr().err
    assert f"Training {name}" in told and "2 steps of" in told and "s a step" in told and "Done: step 2" in told
    result = runs.evaluate(tmp_path / "run", folders(case.make))
    written = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == written
    assert case.score in result.to_text()
    with pytest.raises(RecipeError, match=f"evaluation of {name}: unknown key 'neither'"):
        runs.evaluate(tmp_path / "run", folders(case.make), ["evaluation.neither=1"])
    with accelerator():  # where the data, their validation and the metrics are to go as well
        plan["fit"]["device"] = "auto"
        runs.train(from_dict(runs.Recipe, plan), folders(case.make), tmp_path / "there")
        there = runs.evaluate(tmp_path / "run", folders(case.make), out=tmp_path / "there.json")
    np.testing.assert_allclose(figures(there.to_dict()), figures(result.to_dict()), rtol=1e-3, atol=1e-4)


def test_data_of_every_system_are_training_data(name, folders, monkeypatch):
    monkeypatch.setattr(detection, "HELD", 2)
    case, method = CASES[name], build(name)
    data = method.open_data(folders(case.make), case.data)
    assert isinstance(data, TrainingData) and len(data.train_dataset()) > 1 and data.describe(1)
    with pytest.raises(RecipeError, match="neither"):
        method.open_data(folders(case.make), case.data | {"neither": 1})


def test_who_takes_part_in_no_challenge_says_so(folders, tmp_path):
    with pytest.raises(InputError, match="no challenge that voice"):
        build("voice").submit(folders("spoken"), {}, tmp_path, data={}, form={"track": "va", "edition": 6})
