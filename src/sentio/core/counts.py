"""A number and what it counts, as people write it."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 file``, ``1,200 files``.

    Args:
        plural: where it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
