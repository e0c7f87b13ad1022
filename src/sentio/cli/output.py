"""What verbs show: a nested object as lines."""

from typing import Any


def lines(values: dict[str, Any], indent: str = "") -> str:
    """A nested JSON object as indented lines; an empty list says none."""
    shown = []
    for key, value in values.items():
        if isinstance(value, dict):
            shown.append(f"{indent}{key}:\n{lines(value, indent + '  ')}")
        else:
            text = (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
            shown.append(f"{indent}{key}: {text}")
    return "\n".join(shown)
