"""Verbs for point clouds."""

import json as json_format
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from sentio.cli.output import lines, progress

TABLE_WIDTH = 160
"""Characters that the table of an evaluation needs, also where it goes to a file."""


def upsample_cloud(
    path: Path,
    *,
    ratio: float = 4.0,
    points: int | None = None,
    out: Path | None = None,
    keep_input: bool | None = None,
    model: Literal["pu-any", "pu-mfa"] = "pu-any",
    format: str | None = None,
    preview: Path | None = None,
    view: Path | None = None,
    attention: Path | None = None,
    json: bool = False,
) -> int:
    """Make a point cloud denser: any ratio, or an exact number of points; all attributes are carried along.

    Reads and writes xyz, txt, csv, ply, pcd, las, laz, npy, npz and the .bin of KITTI and nuScenes; reads meshes
    (obj, off, stl, glb), of which it samples 8,192 points first.

    Args:
        ratio: points out for each point in.
        points: points out, exactly, instead of a ratio.
        out: file to write; its suffix names the format. NAME.dense.SUFFIX beside the source if not given.
        keep_input: keep the original points exactly and add to them; if not given, for laser scanners (las, laz, KITTI,
            nuScenes) only. Otherwise points are moved onto the surface, which takes away noise.
        model: pu-any for any ratio; pu-mfa is the published network.
        format: format of the source where its suffix does not tell, e.g. kitti or nuscenes for a .bin.
        preview: PNG file for a picture of before and after.
        view: HTML file in which to turn both clouds about.
        attention: folder for pictures of what PU-MFA looks at.
        json: print a JSON summary.
    """
    from sentio.points.files import Outputs, upsample_file

    with progress(path.name) as tell:
        summary = upsample_file(
            path,
            out,
            ratio=ratio,
            count=points,
            keep_input=keep_input,
            model=model,
            format=format,
            outputs=Outputs(preview, view, attention),
            progress=tell,
        )
    print(json_format.dumps(summary, indent=2) if json else lines(summary))
    return 0


def evaluate_upsampling(
    data: Path,
    *,
    models: tuple[Literal["pu-any", "pu-mfa"], ...] = ("pu-any", "pu-mfa"),
    clouds: Path | None = None,
    ratio: float = 4.0,
    input_points: int = 2048,
    noise: float = 0.0,
    seed: int = 0,
    out: Path = Path("evaluation.json"),
    json: bool = False,
) -> int:
    """Up-sample clouds of meshes and compare with dense clouds of the same meshes, in each published convention.

    Two rows of the same run stand beside the models: the floor (another even sample of the mesh) and midpoints without
    a network. All values are times 1000.

    Args:
        models: what to measure.
        clouds: npz with the arrays NAME|in2048 and NAME|gt8192 of the meshes; sampled anew if not given.
        ratio: points out for each point in.
        input_points: points in.
        noise: standard deviation of noise on the input, in units of its radius.
        seed: of samples and noise.
        out: file for the rows of every shape, with the protocol.
        json: print the means as JSON.
    """
    from functools import partial

    from rich.console import Console

    from sentio.points.evaluate import Upsampler, evaluate_shapes
    from sentio.points.upsample import upsample

    methods: dict[str, Upsampler] = {name: partial(upsample, model=name) for name in models}
    with progress("evaluating") as tell:
        result = evaluate_shapes(
            data,
            methods,
            ratio=ratio,
            points=input_points,
            clouds=clouds,
            noise=noise,
            seed=seed,
            progress=tell,
        )
    result.write(out)
    if json:
        print(json_format.dumps([asdict(row) for row in result.means()], indent=2))
    else:
        Console(width=max(Console().width, TABLE_WIDTH)).print(result.table())
    return 0
