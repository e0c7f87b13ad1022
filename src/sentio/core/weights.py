"""Weights: cards, files, and the checks between them. Refuses what it cannot trust and never falls back.

A card is ``sentio/weights/NAME.json``. It names the files of a model (``onnx`` for inference, ``safetensors`` for
fine-tuning), their SHA-256, inputs and outputs, training data and licences, the command that made them, their scores.
A file lies beside the card (embedded) or in the cache folder (fetched); only data is ever read, no pickle.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sentio.core import registry
from sentio.core.config import from_dict, read_json, to_dict
from sentio.core.counts import counted
from sentio.core.errors import WeightsError, require
from sentio.core.runtime import onnx_session
from sentio.core.writers import atomic_path

EMBEDDED = Path(__file__).resolve().parents[1] / "weights"
PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x1f\x8b")
"""First bytes of torch's zip files, bare pickles of protocols 2 to 5, and gzip."""


@dataclass(frozen=True)
class WeightFile:
    """One file of a model: ``file`` is a bare name, ``url`` is given when it has to be fetched."""

    file: str
    sha256: str
    bytes: int
    url: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.file) or not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"bad file name or hash: {self.file!r} {self.sha256!r}")

    @property
    def path(self) -> Path:
        """Where the file is or would be."""
        return EMBEDDED / self.file if self.url is None else cache_folder() / self.file


@dataclass(frozen=True)
class Card:
    """What is known of a model's weights; see the module's text.

    ``inputs`` and ``outputs`` map names to shapes; a string in a shape is a free dimension. ``details`` are numbers
    that inference needs besides the graph, such as thresholds.
    """

    name: str
    summary: str
    licence: str
    source: str
    files: dict[str, WeightFile]
    inputs: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    system: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    preprocessing: str = ""
    training_data: tuple[str, ...] = ()
    command: str = ""
    scores: tuple[str, ...] = ()
    use: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def cache_folder() -> Path:
    """Folder for fetched files: ``$SENTIO_CACHE``, or the system's usual place."""
    if chosen := os.environ.get("SENTIO_CACHE"):
        return Path(chosen)
    if platform.system() == "Darwin":
        return Path.home() / "Library" / "Caches" / "sentio"
    if platform.system() == "Windows":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "sentio"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sentio"


@cache
def cards() -> dict[str, Card]:
    """All cards of the package by name."""
    paths = sorted(EMBEDDED.glob("*.json"))
    return {path.stem: from_dict(Card, read_json(path, what="card"), where=f"card {path.stem}") for path in paths}


def card(name: str) -> Card:
    """The card ``name``; a name that ends in ``.json`` is the path of a card that lies beside its own files.

    Raises:
        WeightsError: there is none; the message lists those there are.
        RecipeError: the file cannot be read or is no card.
    """
    if name.endswith(".json"):
        return from_dict(Card, read_json(Path(name), what="card"), where=f"card {name}")
    if name not in cards():
        raise WeightsError(f"There are no weights named {name!r}.", f"There are: {', '.join(cards())}.")
    return cards()[name]


def is_present(name: str, kind: str = "onnx") -> bool:
    """Whether the file is embedded or already fetched (its hash is checked when it is opened)."""
    file = card(name).files.get(kind)
    return file is not None and file.path.is_file()


def locate(name: str, kind: str = "onnx") -> Path:
    """Path of a model's file, hash checked.

    Args:
        name: of a card, see :func:`card`.
        kind: which of its files.

    Raises:
        WeightsError: missing (says how to fetch it) or not the bytes that the card promises.
    """
    file = card(name).files.get(kind)
    if file is None:
        raise WeightsError(f"The weights {name!r} have no {kind} file.")
    own = name.endswith(".json")
    path = Path(name).with_name(file.file) if own else file.path
    fetch = f"Run: sentio models fetch {name}" if file.url else "Install the package again."
    fix = "Export the model again." if own else fetch
    if not path.is_file():
        raise WeightsError(f"The weights {name!r} are not on this machine.", fix)
    if (found := sha256(path)) != file.sha256:
        raise WeightsError(f"{path} is damaged: SHA-256 {found}, expected {file.sha256}.", fix)
    return path


def session(name: str, *, threads: int = 1) -> Any:
    """Open the ONNX model ``name`` after checking its hash and that its inputs and outputs are the card's.

    Returns:
        ``onnxruntime.InferenceSession`` with ``threads`` threads.

    Raises:
        WeightsError: missing, damaged, or another model than the card describes.
    """
    path = locate(name, "onnx")
    try:
        opened = onnx_session(path.read_bytes(), threads=threads)  # bytes: no side files are followed
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise WeightsError(f"{path} cannot be opened as an ONNX model: {error}.") from error
    for promised, nodes in (
        (card(name).inputs, opened.get_inputs()),
        (card(name).outputs, opened.get_outputs()),
    ):
        found = {node.name: tuple(node.shape) for node in nodes}
        if promised and not _shapes_agree(promised, found):
            raise WeightsError(f"{path} has tensors {found}, its card promises {promised}.")
    return opened


def _shapes_agree(promised: dict[str, tuple[int | str, ...]], found: dict[str, tuple[Any, ...]]) -> bool:
    def same(a: tuple[int | str, ...], b: tuple[Any, ...]) -> bool:
        free = [isinstance(x, str) or isinstance(y, str | None) or x == y for x, y in zip(a, b, strict=False)]
        return len(a) == len(b) and all(free)

    return promised.keys() == found.keys() and all(same(promised[name], found[name]) for name in promised)


def save(path: Path | str, method: Any, *, shared: Mapping[str, str] | None = None) -> None:
    """Write a registered Method (a torch module) to safetensors, its name and Config in the header, atomically.

    Args:
        shared: parts that are not written, for embedded weights have them: ``{"fer.encoder": "face.encoder"}`` leaves
            out the encoder of fer, which is that of the weights ``face``; ``{"face": "face"}`` all of a part.

    Raises:
        WeightsError: a part that is not the same there.
    """
    torch_files = require("safetensors.torch", "train")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in method.state_dict().items()}
    described = {"system": method.name, "config": json.dumps(to_dict(method.config))}
    if description := method.description():
        described["description"] = json.dumps(description)
    for part, place in (shared or {}).items():
        for name, tensor in _shared(part, place).items():
            if name not in tensors or not tensor.equal(tensors.pop(name)):
                raise WeightsError(
                    f"The tensor {name!r} of {method.name} is another one than in the weights {place!r}."
                )
    if shared:
        described["shared"] = json.dumps({part: [place, promised(place)] for part, place in shared.items()})
    with atomic_path(path) as temporary:
        torch_files.save_file(tensors, temporary, metadata=described)


def load(name_or_path: Path | str) -> Any:
    """Build the Method that a safetensors file describes and fill it.

    Args:
        name_or_path: a file, or the name of a card that has one.

    Raises:
        WeightsError: missing, damaged, a pickle, without a description, or with other tensors than its Config makes.
    """
    path = _tensors_of(name_or_path)
    with _open(path) as file:
        described = file.metadata() or {}
    if "system" not in described or "config" not in described:
        raise WeightsError(f"{path} does not say which model it belongs to; it was not saved by sentio.")
    try:
        config, description = json.loads(described["config"]), json.loads(described.get("description", "{}"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: the Config in its header is not valid JSON: {error}.") from error
    method = registry.build(described["system"], config, description)
    load_into(method, path)
    return method


def is_of_sentio(name_or_path: Path | str) -> bool:
    """Whether a safetensors file (or a card's) says which system it belongs to, as :func:`save` writes it.

    Raises:
        WeightsError: missing, damaged or a pickle.
    """
    with _open(_tensors_of(name_or_path)) as file:
        return "system" in (file.metadata() or {})


def read(path: Path | str) -> dict[str, Any]:
    """The tensors of a safetensors file of any origin.

    Raises:
        WeightsError: missing, damaged or a pickle.
    """
    with _open(Path(path)) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)


def load_into(method: Any, name_or_path: Path | str) -> None:
    """Fill a Method from a safetensors file whose names, shapes and types must be the same, none more, none less.

    Args:
        name_or_path: a file, or the name of a card that has one.

    Raises:
        WeightsError: missing, damaged, a pickle, or other tensors; the message names the first difference.
    """
    path, expected = _tensors_of(name_or_path), method.state_dict()
    with _open(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        shared = (file.metadata() or {}).get("shared", "{}")
    tensors |= _read_shared(shared, path)
    if different := sorted(tensors.keys() ^ expected.keys()):
        kind = "an unknown" if different[0] in tensors else "no"
        raise WeightsError(f"{path} has {kind} tensor {different[0]!r} ({counted(len(different), 'such difference')}).")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            found, wanted = (f"{tuple(t.shape)} {t.dtype}" for t in (tensor, expected[name]))
            raise WeightsError(f"{path}: tensor {name!r} is {found}, the model has {wanted}.")
    method.load_state_dict(tensors)


def _tensors_of(name_or_path: Path | str) -> Path:
    """The safetensors file: of a card, or as it is named."""
    return locate(str(name_or_path), "safetensors") if str(name_or_path) in cards() else Path(name_or_path)


def promised(place: str) -> str:
    """SHA-256 that the card tells of the weights in which a shared part lies: of ``face`` for ``face.encoder``.

    Raises:
        WeightsError: there are none.
    """
    name = place.partition(".")[0]
    file = card(name).files.get("safetensors")
    if file is None:
        raise WeightsError(f"The weights {name!r} have no safetensors file.")
    return file.sha256


def _shared(part: str, place: str) -> dict[str, Any]:
    """The tensors of a part, under its own name, from embedded weights.

    Raises:
        WeightsError: there are no such weights, they are damaged, or have no such part.
    """
    name, _, inside = place.partition(".")
    start = f"{inside}." if inside else ""
    with _open(locate(name, "safetensors")) as file:
        keys = [key for key in file.keys() if key.startswith(start)]  # noqa: SIM118  (no mapping)
        found = {f"{part}.{key.removeprefix(start)}": file.get_tensor(key) for key in keys}
    if not found:
        raise WeightsError(f"The weights {name!r} have no part {inside!r}.")
    return found


def _read_shared(described: str, path: Path | str) -> dict[str, Any]:
    """The tensors that a file shares with embedded weights, as its header tells.

    Raises:
        WeightsError: these are others today, or the header is not of that form.
    """
    tensors: dict[str, Any] = {}
    try:
        parts = [(part, place, sha256) for part, (place, sha256) in json.loads(described).items()]
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise WeightsError(f"{path} does not say which parts it shares with other weights: {error}.") from error
    for part, place, sha256 in parts:
        if not (isinstance(place, str) and promised(place) == sha256):
            raise WeightsError(
                f"{path} stands on other weights {place!r} than there are here.", "Train and export it again on these."
            )
        tensors |= _shared(part, place)
    return tensors


def _open(path: Path) -> Any:
    safetensors = require("safetensors", "train")
    refuse_pickle(path)
    try:
        return safetensors.safe_open(path, framework="pt")
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} is no safetensors file, or it is damaged: {error}.") from error


def refuse_pickle(path: Path) -> None:
    """Raise if the file is missing or begins like a pickle: loading one runs whatever code is in it.

    Raises:
        WeightsError: as said.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise WeightsError(f"Cannot read the weights {path}: {error.strerror}.") from error
    if start.startswith(PICKLE_STARTS):
        raise WeightsError(
            f"{path} is a pickle or an archive, which can run code when it is loaded; it is refused.",
            "Ask its author for safetensors, or convert it where its code may run.",
        )


def sha256(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
