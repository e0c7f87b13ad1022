"""What every reader gives and every writer takes: points with named attributes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.core.counts import counted
from sentio.core.errors import InputError
from sentio.points.geometry import count_distinct, interpolation

Array = NDArray[Any]

AXES = ("x", "y", "z")
COLOURS = (("red", "green", "blue", "alpha"), ("r", "g", "b", "a"))
NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"), ("normalx", "normaly", "normalz"))
CONTINUOUS = {"colour", "intensity"}  # blended and rounded although stored as integers
CATEGORICAL = {"ring", "label", "class", "classification", "segment", "instance", "cluster"}  # never blended


@dataclass(frozen=True)
class Source:
    """Where a cloud is from, and what its writer needs to write the same kind of file again.

    Args:
        format: name of the file format, or ``"array"``.
        dtype: float type in which the coordinates are stored.
        width: columns of an organised cloud, as its header says; 0 where the format has none.
        height: rows of an organised cloud, 1 if it is not organised.
        dropped: points left out because a coordinate was not finite.
        comments: comment lines of the header.
        notes: what its reader found worth telling, in whole sentences.
        header: what else the format's own writer takes over: the header of a LAS file (version, point format, scales,
            offsets, coordinate system), the viewpoint of a PCD file.
    """

    format: str = "array"
    dtype: str = "float64"
    width: int = 0
    height: int = 0
    dropped: int = 0
    comments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    header: Any = None


@dataclass(frozen=True)
class Cloud:
    """A point cloud.

    Args:
        points: (N, 3) float64, finite, N >= 1.
        attributes: name -> (N,) or (N, C) array in its own type. ``colour`` is (N, 3) or (N, 4), ``normals`` (N, 3);
            other names are those of the file.
        source: where the cloud is from.

    Raises:
        InputError: a wrong shape, no points, or a coordinate that is not finite.
    """

    points: NDArray[np.float64]
    attributes: Mapping[str, Array] = field(default_factory=dict)
    source: Source = field(default_factory=Source)

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=np.float64)
        object.__setattr__(self, "points", points)
        if points.ndim != 2 or points.shape[1] != 3:
            raise InputError(f"Points have the shape {points.shape}; (N, 3) is needed.")
        if len(points) == 0:
            raise InputError("There are no points.")
        if not np.isfinite(points).all():
            raise InputError("A coordinate is not finite (NaN or infinite).")
        for name, values in self.attributes.items():
            if len(values) != len(points):
                raise InputError(
                    f"The attribute {name!r} has {counted(len(values), 'row')} for {counted(len(points), 'point')}."
                )

    @property
    def stored_points(self) -> Array:
        """(N, 3) coordinates in the float type of the source."""
        return self.points.astype(self.source.dtype)

    def columns(self) -> dict[str, Array]:
        """The cloud as named columns (N,): x, y, z, then the attributes, spread over their components."""
        columns = dict(zip(AXES, self.stored_points.T, strict=True))
        for name, values in self.attributes.items():
            if values.ndim == 1:
                columns[name] = values
                continue
            known = {"colour": COLOURS[0], "normals": NORMALS[0]}.get(name, ())
            names = known if values.shape[1] <= len(known) else [f"{name}_{i}" for i in range(values.shape[1])]
            columns |= dict(zip(names, values.T, strict=False))
        return columns


def from_columns(columns: Mapping[str, Array], source: Source) -> Cloud:
    """A cloud from named columns: x, y, z and any other numbers; points that are not finite are left out and counted.

    Raises:
        InputError: x, y or z is missing, or no finite point is left.
    """
    names = {name.lower(): name for name in columns}
    if missing := [axis for axis in AXES if axis not in names]:
        found = ", ".join(columns) or "none"
        raise InputError(f"There is no column {missing[0]!r}; the columns are: {found}.")
    axes = [np.asarray(columns[names[axis]]) for axis in AXES]
    if any(values.ndim != 1 or values.dtype.kind not in "fiu" for values in axes):
        raise InputError("The columns x, y and z are no plain numbers.")
    stored = np.stack(axes, axis=1)
    dtype = "float32" if stored.dtype in (np.dtype("f2"), np.dtype("f4")) else "float64"
    finite = np.isfinite(stored).all(axis=1)
    if len(finite) and not finite.any():
        raise InputError("No point is finite: every one has a NaN or infinite coordinate.")
    rest = {name: np.asarray(values) for name, values in columns.items() if name.lower() not in AXES}
    numbers = {name: values for name, values in rest.items() if values.dtype.kind in "fiub" and values.ndim <= 2}
    attributes = {name: values[finite] for name, values in _gather(numbers).items()}
    source = replace(source, dtype=dtype, dropped=int((~finite).sum()))
    return Cloud(stored[finite].astype(np.float64), attributes, source)


def word(name: str) -> str:
    """The name of an attribute as one word that every file format takes."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", name)


def _gather(columns: dict[str, Array]) -> dict[str, Array]:
    """Stack the components of colours and normals; keep every other column."""
    gathered: dict[str, Array] = {}
    names = {name.lower(): name for name in columns}
    for target, families in (("normals", NORMALS), ("colour", COLOURS)):
        for family in families:
            if target in columns or not all(part in names for part in family[:3]):
                continue
            parts = [names.pop(part) for part in family if part in names]
            gathered[target] = np.stack([columns[part] for part in parts], axis=1)
            columns = {name: values for name, values in columns.items() if name not in parts}
    if "colour" in gathered and gathered["colour"].dtype == np.int64:  # text has no narrower type
        colour = gathered["colour"]
        if colour.min() >= 0 and colour.max() <= 65535:
            gathered["colour"] = colour.astype(np.uint8 if colour.max() <= 255 else np.uint16)
    return columns | gathered


def carry(cloud: Cloud, points: NDArray[np.float64]) -> Cloud:
    """The attributes of ``cloud`` on new (M, 3) ``points``.

    A new point on an old one takes its attributes as they are. Elsewhere floats, colours and intensities are blended
    from the three nearest points by inverse distance, normals also brought back to unit length, and integers such as
    rings and classes are taken from the nearest point. The type of the coordinates is that of the source, unless
    float32 would put different points in one place, as it does with map coordinates.
    """
    index, weights = interpolation(cloud.points, points)
    attributes = {name: _blend(name, values, index, weights) for name, values in cloud.attributes.items()}
    source = replace(cloud.source, width=0, height=0, dropped=0, comments=(), notes=())
    if source.dtype == "float32" and count_distinct(points.astype(np.float32)) < count_distinct(points):
        note = "Coordinates are stored in 64 bits, not 32 as in the source, where points would fall together."
        source = replace(source, dtype="float64", notes=(note,))
    return Cloud(points, attributes, source)


def _blend(name: str, values: Array, index: NDArray[np.int64], weights: Array) -> Array:
    nearest = values[index[:, 0]]
    if name.lower() in CATEGORICAL or (values.dtype.kind != "f" and name.lower() not in CONTINUOUS):
        return nearest
    near = values[index].astype(np.float64)
    if name == "normals":  # their signs may be arbitrary: opposite ones must not cancel out
        side = np.sign(np.einsum("mkc,mc->mk", near, near[:, 0]))
        near *= np.where(side < 0, -1.0, 1.0)[:, :, None]
    blended = np.einsum("mk,mk...->m...", weights, near)
    if name == "normals":
        length = np.linalg.norm(blended, axis=1, keepdims=True)
        blended = np.divide(blended, length, out=near[:, 0].copy(), where=length > 0)
    if values.dtype.kind != "f":
        blended = np.rint(blended)
    copied = (weights[:, 0] == 1).reshape(-1, *[1] * (values.ndim - 1)) | ~np.isfinite(blended)
    return np.where(copied, nearest, np.where(copied, 0, blended).astype(values.dtype))
