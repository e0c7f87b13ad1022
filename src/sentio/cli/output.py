"""What a verb that goes through many files says at its end."""

import json as json_format
import sys
from collections.abc import Callable, Mapping
from typing import Any

from sentio.core.jobs import Summary


def tell(
    summary: Summary,
    line: Callable[[dict[str, Any]], str],
    *,
    json: bool,
    quiet: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> int:
    """Print what came of a run; returns the exit code, 1 if a file failed.

    Args:
        line: what a record of a file that is done says.
        json: print an object for machines, with ``facts`` before all else.
        quiet: print, to stderr, the failures alone.
    """
    if json:
        print(json_format.dumps({**(facts or {}), **summary.to_dict()}, indent=2))
    elif quiet:
        for complaint in summary.complaints:
            print(complaint, file=sys.stderr)
    else:
        print(summary.text(line))
    return 0 if summary.whole else 1
