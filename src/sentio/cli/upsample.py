"""sentio upsample."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from sentio.cli.output import tell
from sentio.cli.parsing import ADDRESS, FILE, FOLDER, exclusive

Format = Literal[
    "xyz", "txt", "asc", "csv", "pts", "ply", "pcd", "las", "laz", "npy", "npz", "kitti", "nuscenes",
    "obj", "off", "stl", "glb", "e57",
]  # fmt: skip
AMOUNT = Group(validator=exclusive, show=False)


def upsample(
    *paths: Path,
    ratio: Annotated[float | None, Parameter(validator=Number(gte=1), group=AMOUNT)] = None,
    points: Annotated[int | None, Parameter(validator=Number(gte=1), group=AMOUNT)] = None,
    out: Path | None = None,
    overwrite: bool = False,
    keep_input: Annotated[bool | None, Parameter(negative="--no-keep-input")] = None,
    model: Literal["pu-any", "pu-mfa"] = "pu-any",
    format: Annotated[Format | None, Parameter(metavar="FORMAT")] = None,
    preview: Annotated[Path | None, FILE] = None,
    view: Annotated[Path | None, FILE] = None,
    attention: Annotated[Path | None, FOLDER] = None,
    ray: Annotated[str | None, ADDRESS] = None,
    json: bool = False,
) -> int:
    """Make point clouds denser: any ratio, or an exact number of points.

    All attributes are carried along. Reads and writes xyz, txt, asc, csv, pts, ply, pcd, las, laz, npy, npz and the
    .bin of KITTI and nuScenes; reads e57, COPC (.copc.laz), and meshes (obj, off, stl, glb), of which it samples 8,192
    points first. A cloud that cannot be used does not stop the others; the exit code is then 1.

    Args:
        paths: clouds, folders of them, or patterns.
        ratio: points out for each point in, at least 1; 4 if nothing is given.
        points: points out, exactly, instead of a ratio.
        out: folder for the results, with failures listed in its failed.json; for one cloud also the file, whose suffix
            names the format. NAME.dense.SUFFIX beside each source, and no such list, if not given.
        overwrite: replace files that are there.
        keep_input: keep the original points exactly and add to them; if not given, for laser scanners (las, laz, e57,
            pts, KITTI, nuScenes) only. Otherwise points are moved onto the surface, which takes away noise.
        model: pu-any for any ratio; pu-mfa is the published network.
        format: format of the sources where their suffixes do not tell, as kitti or nuscenes for a .bin; else named like
            the suffixes above.
        preview: picture of before and after, png, jpg or webp; for one cloud.
        view: page on which to turn both clouds about, html; for one cloud.
        attention: folder for pictures of what PU-MFA looks at; for one cloud.
        ray: do it on a Ray cluster whose machines share this disk, a cloud for each CPU at a time: HOST:PORT, or auto
            for the cluster of this machine, which is started if there is none.
        json: print a JSON summary.

    Examples:
        sentio upsample scan.ply --ratio 2.7 --preview scan.png
        sentio upsample scans/ street.laz --points 50000 --out dense
    """
    from sentio.points.files import Options, Outputs, line, upsample_files

    outputs = Outputs(preview, view, attention)
    options = Options(ratio or 4.0, points, keep_input, model, format, outputs, overwrite)
    summary = upsample_files(paths, out, options, show=True, ray=ray)
    return tell(summary, line, json=json)
