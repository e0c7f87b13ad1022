"""Encoders in bfloat16: who decides, what is refused, and what a stored file tells of it."""

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from safetensors import safe_open  # noqa: E402

import snapshots  # noqa: E402
from sentio.affect.backbones import fingerprint, precision  # noqa: E402
from sentio.affect.backbones.encoders import open_encoder  # noqa: E402
from sentio.affect.backbones.precision import InPrecision, likeness  # noqa: E402
from sentio.cli import main  # noqa: E402
from sentio.core import precision as bits  # noqa: E402
from sentio.core.errors import RecipeError  # noqa: E402


class Timed(torch.nn.Module):
    """A dense layer; ``seconds`` of a clock that goes on with each call, by the type of its products."""

    def __init__(self, clock, seconds, info):
        super().__init__()
        self.layer, self.clock, self.seconds, self.info = torch.nn.Linear(8, 6), clock, seconds, info

    def forward(self, x):
        found = self.layer(x)
        self.clock[0] += self.seconds[found.dtype]
        return found


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(precision.time, "perf_counter", lambda: now[0])
    return now


def timed(clock, full, brain):
    return Timed(clock, {torch.float32: full, torch.bfloat16: brain}, open_encoder("face").info)


@pytest.mark.parametrize(("hardware", "brain", "expected"),
                         [(True, 1.0, "bf16-mixed"), (True, 3.0, "32-true"), (False, 1.0, "32-true")])  # fmt: skip
def test_auto_takes_what_is_quicker_where_the_cpu_has_it(hardware, brain, expected, clock, monkeypatch):
    monkeypatch.setattr(bits, "has_bf16", lambda: hardware)
    encoder = timed(clock, 2.0, brain)
    led, x = InPrecision(encoder, "auto"), torch.rand(1, 4, 8, generator=torch.Generator().manual_seed(0))
    found = led(x)
    assert led.precision == expected and found.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16, enabled=expected != "32-true"):
        assert torch.equal(found, encoder.layer(x).float())
    assert not torch.equal(found, encoder.layer(x)) or expected == "32-true"


def test_vectors_that_differ_are_refused_and_never_taken_by_itself(clock, monkeypatch):
    """What is left of two large numbers is lost in 8 bits of mantissa."""
    monkeypatch.setattr(bits, "has_bf16", lambda: True)
    encoder = timed(clock, 2.0, 1.0)
    with torch.no_grad():
        encoder.layer.weight.copy_(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).repeat(1, 2))
        encoder.layer.weight[:, 4:] *= -1
        encoder.layer.bias.zero_()
    x = torch.full((1, 3, 8), 100.0) + 0.1 * torch.rand(1, 3, 8, generator=torch.Generator().manual_seed(1))
    with pytest.raises(RecipeError, match=r"(?s)gives other vectors.*Choose 32-true"):
        InPrecision(encoder, "bf16-mixed")(x)
    led = InPrecision(encoder, "auto")
    assert torch.equal(led(x), encoder(x)) and led.precision == "32-true"


def test_silence_is_like_silence():
    assert likeness(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [1.0, 1.0]
    assert likeness(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])).item() == 0.0


@pytest.mark.parametrize("kind", ["clip", "vit", "wav2vec2", "ast", "whisper"])
def test_every_published_kind_says_nearly_the_same(kind, tmp_path):
    getattr(snapshots, f"write_{kind}")(tmp_path)
    encoder = open_encoder(f"{kind}:{tmp_path}")
    before = fingerprint(encoder)
    random = torch.Generator().manual_seed(3)
    pictures, sound = (torch.rand(shape, generator=random) for shape in ((1, 2, 3, 112, 112), (1, 32_000)))
    x = pictures if encoder.info.size else 0.2 * sound - 0.1
    x = x[None] if kind == "ast" else x
    with torch.inference_mode():
        full, brain = (InPrecision(encoder, "auto")._run(x, choice) for choice in ("32-true", "bf16-mixed"))
        assert torch.equal(full, encoder(x)) and fingerprint(encoder) == before
    assert likeness(full, brain).min() >= 0.99 and not torch.equal(full, brain)


def test_a_stored_file_tells_its_precision(drawn, tmp_path):
    for choice in ("bf16-mixed", "32-true"):
        out = tmp_path / choice
        asked = ["--precision", choice, "--device", "cpu"]
        assert main(["features", str(drawn), "--visual", "face", *asked, "--out", str(out)]) == 0
    files = [sorted((tmp_path / choice).rglob("*.safetensors")) for choice in ("bf16-mixed", "32-true")]
    assert [file.parent.name for file in files[0]] == [file.parent.name for file in files[1]]
    for one, two in zip(*files, strict=True):
        with safe_open(one, "pt") as brain, safe_open(two, "pt") as full:
            assert (brain.metadata()["precision"], full.metadata()["precision"]) == ("bf16-mixed", "32-true")
            found, expected = brain.get_tensor("values"), full.get_tensor("values")
        assert likeness(found, expected).min() > 0.995 and not torch.equal(found, expected)
