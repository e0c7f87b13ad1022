"""The pages of docs/ and their blocks of code."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@dataclass(frozen=True)
class Block:
    """Some lines of code on a page; `line` is the number of the first."""

    page: Path
    line: int
    text: str
    language: str

    @property
    def is_python(self) -> bool:
        return self.language == "python" or bool(re.match(r"(from|import) \w", self.text))

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> Iterator[list[str]]:
        """The words of each command that is ours or Python's; a line that ends in a backslash goes on."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if not re.match(r"(\S*/)?(sentio|python3?|pip)\s", line):
                continue
            words: list[str] = []
            for word in [*shlex.split(line, comments=True), "&&"]:
                if word in ("&&", "|", ";"):
                    yield words
                    words = []
                else:
                    words.append(word)


def blocks(page: Path) -> list[Block]:
    """Those within fences, and those that are indented by four behind an empty line."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        if line.startswith("```"):
            end = next(k for k in range(number + 1, len(lines)) if lines[k].startswith("```"))
            found.append(Block(page, number + 2, "\n".join(lines[number + 1 : end]), line.strip("` ")))
            number = end
        elif line.startswith("    ") and line.strip() and (number == 0 or not lines[number - 1].strip()):
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            text = "\n".join(part[4:] for part in lines[number:end]).rstrip()
            found.append(Block(page, number + 1, text, ""))
            number = end - 1
        number += 1
    return found


ALL = [block for page in PAGES for block in blocks(page)]
