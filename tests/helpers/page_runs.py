"""Runs the blocks of a page in order, in a folder with what they name; in this process where that is possible."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import method_data
import page_world
from pages import ALL, ROOT, Block
from sentio.cli import main

BENCH = ROOT / "bench"
SYNTH = {"sentio synth": page_world.synth, "python -m sentio.affect.synth.heads": method_data.heads}
"""What stands in for their folders where the studio has no heads to render."""


@dataclass(frozen=True)
class Rules:
    """How pages are run here.

    Attributes:
        not_run: beginnings of commands that are not run, with the reason.
        shorter: patterns in commands and in Python, and what is run in their place.
    """

    not_run: Mapping[str, str]
    shorter: Sequence[tuple[str, str]]

    def reason(self, line: str) -> str:
        return next((why for begin, why in self.not_run.items() if f"{line} ".startswith(f"{begin} ")), "")

    def shortened(self, text: str) -> str:
        for pattern, instead in self.shorter:
            text = re.sub(pattern, instead, text)
        return text


@dataclass
class Outcome:
    """What came of a block.

    Attributes:
        ran: how many of its commands ran; a block of Python is one.
        left: why the others did not.
        said: what was printed.
        error: what went wrong.
    """

    ran: int = 0
    left: list[str] = field(default_factory=list)
    said: str = ""
    error: BaseException | None = None


class PageRun:
    """A page in a folder of its own.

    Args:
        page: its path.
        folder: an empty one.
        rules: what is not run, and what is run shorter.
        world: where the things come from.
        given: names that the page's Python may use without having made them.
    """

    def __init__(
        self, page: Path, folder: Path, rules: Rules, world: page_world.World, given: Mapping[str, Any]
    ) -> None:
        self.folder, self.rules = folder, rules
        self.blocks = [block for block in ALL if block.page == page]
        self.scope: dict[str, Any] = {"__name__": "page", **given}
        self.outcomes: dict[Block, Outcome] = {}
        self.absent = world.furnish(folder, "\n".join(block.text for block in self.blocks if block.kind != "text"))

    def outcome(self, block: Block) -> Outcome:
        """That of a block; those before it are run first, if they were not yet."""
        for each in self.blocks[: self.blocks.index(block) + 1]:
            if each not in self.outcomes:
                self.outcomes[each] = self._run(each)
        return self.outcomes[block]

    def _run(self, block: Block) -> Outcome:
        outcome, said = Outcome(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(said):
            try:
                if block.kind == "python" and (absent := self._absent(block.text)):
                    outcome.left.append(absent)
                elif block.kind == "python":
                    exec(compile(self.rules.shortened(block.text), block.name, "exec"), self.scope)
                    outcome.ran = 1
                elif block.kind == "shell":
                    for words in block.commands():
                        self._command(words, outcome)
            except Exception as error:
                outcome.error = error
        outcome.said = said.getvalue()
        return outcome

    def _command(self, words: list[str], outcome: Outcome) -> None:
        line = shlex.join(words)
        if reason := self.rules.reason(line) or self._absent(line):
            outcome.left.append(reason)
            for out, make in studio(line).items():
                if not out.exists():
                    make(out)
            return
        outcome.ran += 1
        for out in studio(line):
            shutil.rmtree(out, ignore_errors=True)  # it takes the place of what stands in for it
        shorter = shlex.split(self.rules.shortened(line))
        try:
            run(shorter)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{shlex.join(shorter)}\n{type(error).__name__}: {error}") from error

    def _absent(self, line: str) -> str:
        return next((why for name, why in self.absent.items() if page_world.mentions(line, name)), "")


def studio(line: str) -> dict[Path, Callable[[Path], None]]:
    """The folder that a command of the studio fills, and what stands in for it."""
    words = shlex.split(line)
    begun = [begin for begin in SYNTH if line.startswith(begin) and "--rigs" in words]
    return {Path(words[len(begin.split())]): SYNTH[begin] for begin in begun}


def run(words: list[str]) -> None:
    """Run a command.

    Raises:
        AssertionError: its exit code is not 0.
    """
    program = Path(words[0]).name
    if program == "sentio" and words[1] == "live":
        serve(words[1:])
    elif program == "sentio":
        code = main(words[1:])
        assert code == 0, f"exit code {code}"
    elif program.startswith("python"):
        python(words[1:])
    else:
        subprocess.run(words, check=True, timeout=60)


def python(words: list[str]) -> None:
    """``python -c TEXT``, ``python -m MODULE ...`` or ``python FILE ...``."""
    found = [match for word in words for match in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
    assert len(found) >= len(words), "a pattern that nothing matches"
    with patch.object(sys, "argv", found[1:] if words[0] == "-m" else found), _scripts():
        try:
            if words[0] == "-c":
                exec(words[1], {"__name__": "__main__"})
            elif words[0] == "-m":
                runpy.run_module(words[1], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(words[0], run_name="__main__")
        except SystemExit as error:
            assert not error.code, f"exit code {error.code}"


@contextlib.contextmanager
def _scripts() -> Iterator[None]:
    """Scripts of ``bench`` import each other; afterwards they are forgotten."""
    with patch.object(sys, "path", [str(BENCH), *sys.path]):
        yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(BENCH)):
            del sys.modules[name]


def serve(words: list[str]) -> None:
    """``sentio live ...`` in a process: its page is asked for, then it is ended by Ctrl-C."""
    environment = os.environ | {"BROWSER": "true"}  # opens nothing
    command = [sys.executable, "-m", "sentio", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            first = process.stdout.readline()
            assert first.startswith("Sentio live: http"), first + process.stderr.read()
            with urllib.request.urlopen(first.split()[-1], timeout=60) as answer:
                assert b"<html" in answer.read()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode in (0, 130), errors
