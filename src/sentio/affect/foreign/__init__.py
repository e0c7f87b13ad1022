"""Results of other tools, read into the columns of our table; one file a tool, and the list of them here.

    studies = read(Path("clip.csv"))
    studies[0].tool, studies[0].rows

What a column of theirs is called here, and what has no place here, is told in docs/convert.md.
"""

from pathlib import Path

from sentio.affect.foreign import hume, libreface, openface, pyfeat
from sentio.affect.foreign.study import Study, Tool, header_of
from sentio.core.errors import InputError

TOOLS: tuple[Tool, ...] = (openface.TOOL, pyfeat.TOOL, libreface.TOOL, hume.TOOL)
"""All that can be read; a file is the first one's that knows its header."""

__all__ = ["TOOLS", "Study", "Tool", "read"]


def read(path: Path) -> list[Study]:
    """Read a file that another tool wrote; which one it was is told by its header.

    Returns:
        One for each media file that it tells of, in order.

    Raises:
        InputError: it cannot be read, is of no tool that is known, or holds no row.
    """
    header = header_of(path)
    tool = next((tool for tool in TOOLS if tool.knows(header)), None)
    if tool is None:
        names = ", ".join(tool.name for tool in TOOLS)
        raise InputError(f"{path} is of no tool that is known: {names}.", "Give the file as the tool wrote it.")
    studies = tool.read(path)
    if not any(study.rows for study in studies):
        raise InputError(f"{path} holds no row of {tool.name}.")
    return studies
