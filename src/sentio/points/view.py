"""An interactive page of a cloud before and after: one HTML file that needs no network."""

import base64
import html
import json
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentio.core.counts import counted
from sentio.core.errors import require
from sentio.core.writers import write_text
from sentio.points.io.cloud import Array, Cloud
from sentio.points.preview import Camera, is_scene, place_camera

Floats = NDArray[np.float64]

MOST_POINTS = 200_000  # of each cloud; browsers turn more of them slowly
HEIGHT, PLAIN = "height", "plain"
FAR, NEAR = 2.0, 1.1  # distance of the eye from an object and in a scene, in units of the box


def write_view(before: Cloud, after: Cloud, path: Path | str, *, title: str = "Point cloud") -> None:
    """Write a page on which the clouds can be turned, swapped, and coloured by any attribute.

    Of more than 200,000 points an even random part is shown, which the page says. Coordinates are shown relative to the
    centre of the first cloud, also said there, because a graphics card computes with 32 bits.

    Raises:
        MissingExtraError: plotly is not installed.
        OutputError: the page cannot be written.
    """
    plotly = require("plotly.offline", "view").get_plotlyjs()
    centre = np.round((before.points.min(axis=0) + before.points.max(axis=0)) / 2, 3)
    clouds = {"before": before, "after": after}
    shown = {name: _pick(len(cloud.points)) for name, cloud in clouds.items()}
    names = [name for name, values in before.attributes.items() if _is_worth(values) and name in after.attributes]
    camera = place_camera(before)
    up = _upwards(camera)
    data = {
        "clouds": [_pack(name, cloud, shown[name], names, centre, up) for name, cloud in clouds.items()],
        "choices": sorted(names, key=lambda name: name != "colour") + [HEIGHT, PLAIN],
        "ranges": {HEIGHT: _range((before.points - centre) @ up)}
        | {name: _range(before.attributes[name]) for name in names if before.attributes[name].ndim == 1},
        "box": _box(np.concatenate([before.points, after.points]) - centre),
        "camera": {"up": _named(up), "eye": _named(-camera.axes[2] * (NEAR if is_scene(before) else FAR))},
    }
    template = Template((resources.files("sentio") / "assets/cloud_view.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=html.escape(title),
        note=html.escape(_note(clouds, shown, centre)),
        size="1.5" if max(map(len, shown.values())) > 20_000 else "2.5",
        plotly=plotly,
        data=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
    )
    write_text(path, page)


def _pick(count: int) -> NDArray[np.int64]:
    """Which points are shown: all of them, or a random part that is the same every time."""
    if count <= MOST_POINTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, MOST_POINTS, replace=False))


def _is_worth(values: Array) -> bool:
    """Whether an attribute can be shown as a colour, and would show more than one."""
    shown = values.ndim == 1 or values.shape[1] in (3, 4)
    return shown and values.dtype.kind in "fiu" and bool((values != values[0]).any())


def _pack(
    name: str, cloud: Cloud, shown: NDArray[np.int64], names: list[str], centre: Floats, up: Floats
) -> dict[str, Any]:
    points = cloud.points[shown] - centre
    colours: dict[str, Any] = {HEIGHT: {"scalar": _encode(points @ up, "<f4")}}
    for key in names:
        values = cloud.attributes[key][shown]
        colours[key] = (
            {"scalar": _encode(values, "<f4")} if values.ndim == 1 else {"rgb": _encode(_bytes(values), "u1")}
        )
    axes = {axis: _encode(column, "<f4") for axis, column in zip("xyz", points.T, strict=True)}
    return {"name": name, "count": len(cloud.points), "colours": colours, **axes}


def _bytes(values: Array) -> Array:
    """Three or four columns as red, green, blue from 0 to 255; signed values such as normals by their size."""
    values = abs(np.nan_to_num(values[:, :3].astype(np.float64)))
    full = 1.0 if values.max() <= 1 else 255.0 if values.max() <= 255 else 65535.0
    return np.asarray(np.rint(255 * np.clip(values / full, 0, 1)))


def _encode(values: Array, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode("ascii")


def _range(values: Array) -> list[float]:
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [2, 98]) if len(finite) else (0.0, 1.0)
    return [float(low), float(high if high > low else low + 1)]


def _box(points: Floats) -> list[list[float]]:
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.02 * float((high - low).max()) or 1.0
    return [[float(a - margin), float(b + margin)] for a, b in zip(low, high, strict=True)]


def _upwards(camera: Camera) -> Floats:
    """The coordinate axis that points up in the picture, with its sign."""
    axis = int(abs(camera.axes[1]).argmax())
    return np.asarray(-np.sign(camera.axes[1, axis]) * np.eye(3)[axis])


def _named(vector: Floats) -> dict[str, float]:
    return dict(zip("xyz", map(float, vector), strict=True))


def _note(clouds: dict[str, Cloud], shown: dict[str, NDArray[np.int64]], centre: Floats) -> str:
    parts = [
        f"Of {name}, {len(shown[name]):,} of {counted(len(cloud.points), 'point')} are shown, drawn at random."
        for name, cloud in clouds.items()
        if len(shown[name]) < len(cloud.points)
    ]
    parts.append(f"Coordinates are relative to {', '.join(f'{value:.10g}' for value in centre)}.")
    return " ".join(parts)
