"""The pages for readers and their blocks of code."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
ENDS = ("&&", "|", ";")
"""What stands between two commands of a line."""


@dataclass(frozen=True)
class Block:
    """Some lines of code on a page; `line` is the number of the first, `language` what the fence says."""

    page: Path
    line: int
    text: str
    language: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def kind(self) -> str:
        """The language; where none is told, Python if it begins with an import, else the shell."""
        if self.language:
            return self.language
        return "python" if re.match(r"(from|import) \w", self.text) else "shell"

    def commands(self) -> list[list[str]]:
        """The words of each command; a line that ends in a backslash goes on, a pattern without quotes stays one."""
        found = []
        for line in self.text.replace("\\\n", " ").splitlines():
            words: list[str] = []
            for word in [*_words(line), ENDS[0]]:
                if word not in ENDS:
                    words.append(word)
                elif words:
                    found.append(words)
                    words = []
        return found


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    return list(lexer)


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
