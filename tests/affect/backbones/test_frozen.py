"""Small files of encoders that are kept with the weights: they come from anybody, and are written nowhere else."""

import json

import pytest

from sentio.core import registry, weights
from sentio.core.errors import WeightsError

torch_files = pytest.importorskip("safetensors.torch", reason="needs the train extra")


@pytest.mark.parametrize("files", [{"../../planted": {}}, {"/planted": {}}, {"config.json": {}, "planted": {}}, None])
def test_a_description_writes_no_file_of_another_name(files, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    files = files and {name.replace("/planted", f"{tmp_path}/planted", name.startswith("/")): {} for name in files}
    method = registry.build("crossattn", {"encoder": "small", "dim": 16, "heads": 2, "hidden": 8, "head": 8})
    header = {"system": method.name, "config": json.dumps({"encoder": "small"})}
    header["description"] = json.dumps({"snapshots": {"x": files}})
    torch_files.save_file(method.state_dict(), tmp_path / "w.safetensors", header)
    with pytest.raises(WeightsError, match="description of the encoders .* is damaged"):
        weights.load(tmp_path / "w.safetensors")
    assert not list(tmp_path.rglob("planted"))
