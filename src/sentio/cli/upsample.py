"""sentio upsample."""

import json as json_format
from pathlib import Path
from typing import Literal

from sentio.cli.output import lines
from sentio.core.progress import progress


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
