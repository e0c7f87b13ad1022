"""One page: a `Stream` in a thread of its own, fed by the page or by a source of the server, perhaps recorded."""

import threading
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from sentio import __version__
from sentio.affect.analysis.options import Options
from sentio.affect.analysis.rows import Row
from sentio.affect.analysis.stream import Stream
from sentio.affect.analysis.voice import WINDOW_S, VoiceTrack
from sentio.affect.labels import ALL_UNITS, EXPRESSIONS
from sentio.affect.live import messages
from sentio.affect.live.inbox import Inbox
from sentio.affect.live.lsl import LslOutlet
from sentio.affect.live.messages import BAD_ORDER, Event, Message, MessageError, Name, Open, Pause, Picture, Record
from sentio.affect.live.recorder import Recorder, say
from sentio.affect.live.source import Control, Shown, Source
from sentio.affect.media import SAMPLE_RATE, AudioBlock
from sentio.affect.results.episodes import unit_thresholds
from sentio.core.errors import InputError, SentioError

DEFECT = 1011
"""Code with which a session is closed after an error of ours."""
FULL_S = 0.01
"""Between two looks at whether there is room in the inbox."""


@dataclass(frozen=True)
class Settings:
    """What all sessions of a server share.

    Attributes:
        options: of their streams, causal ones; the model is the one that they begin with.
        models: titles of those that a page may choose, by name.
        out: folder for the recordings.
        outputs: names of what a recording leaves.
        source: what is read instead of the pages' cameras.
        lsl: name of an outlet of the Lab Streaming Layer.
    """

    options: Options
    models: dict[str, str]
    out: Path
    outputs: tuple[str, ...]
    source: Source | None = None
    lsl: str | None = None


class Page(Protocol):
    """The other end; both may be called from any thread."""

    def post(self, message: str | bytes) -> None:
        """Send a message; a picture is left out if too many messages wait."""

    def end(self, code: int, reason: str) -> None:
        """Close the connection behind all that was posted."""


@dataclass(frozen=True)
class _Over:
    """A source has come to its end, or to an error."""

    control: Control
    error: SentioError | None


class Session:
    """Does what a page asks for, in the order of its messages; of its pictures only the newest waits.

    Args:
        settings: see there.
        page: the other end.
        number: of the session, from 1.
    """

    def __init__(self, settings: Settings, page: Page, number: int = 1) -> None:
        self.settings, self.page, self.number = settings, page, number
        self._inbox = Inbox(Picture, Shown)
        self._thread = threading.Thread(target=self._work, name=f"session {number}")
        self._opened = False
        self._last: dict[type, float] = {}  # newest time of each kind that the page sent
        self._stream: Stream | None = None
        self._zero_s: float | None = None
        self._heard_s = 0.0
        self._recorder = Recorder(settings.out, settings.outputs, self._post, self._describe)
        self._control: Control | None = None  # of the source, while it plays
        self._player: threading.Thread | None = None
        self._outlet: LslOutlet | None = None

    @property
    def is_full(self) -> bool:
        """Whether whoever brings messages shall wait."""
        return self._inbox.is_full

    def start(self) -> None:
        """Greet the page, and begin to work."""
        self._greet(self.settings.options.model, {})
        self._thread.start()

    def take(self, message: Message) -> None:
        """Take a message of the page; returns at once.

        Raises:
            MessageError: it cannot come now.
        """
        if isinstance(message, Open):
            self._opened = True
            self._last.clear()  # a new stream has no past
        if not self._opened:
            raise MessageError("A session begins with a message of the type open.", BAD_ORDER)
        if isinstance(message, Picture | AudioBlock):
            self._check_order(message)
        self._put(message)

    def close(self) -> None:
        """Do what was asked for so far, finish a recording, and end; returns when that is done."""
        self._inbox.put(None)
        self._thread.join()

    def _check_order(self, message: Picture | AudioBlock) -> None:
        if self.settings.source is not None:
            raise MessageError(f"The server reads {self.settings.source.name}; a page sends nothing.", BAD_ORDER)
        last_s = self._last.get(type(message))
        if last_s is not None and message.time_s <= last_s:
            raise MessageError(f"Time runs backwards: {message.time_s} s came after {last_s} s.", BAD_ORDER)
        self._last[type(message)] = message.time_s

    def _put(self, item: Any) -> None:
        if self._inbox.put(item):
            self._post("dropped", count=self._inbox.dropped)

    def _describe(self) -> dict[str, Any]:
        source = self.settings.source
        return {"source": source and source.name, "dropped": self._inbox.dropped}

    def _post(self, kind: str, **values: Any) -> None:
        self.page.post(messages.text_message(kind, **values))

    def _work(self) -> None:
        try:
            while (item := self._inbox.get()) is not None:
                self._try(item)
        except MessageError as error:
            self.page.post(messages.refused_message(error))
            self.page.end(error.code, error.what)
        except Exception:
            traceback.print_exc()
            self.page.end(DEFECT, "This is a defect of sentio; the server's terminal tells more.")
        finally:
            self._end()

    def _try(self, item: Any) -> None:
        """Do what an item asks for; what cannot be done is told, and the session goes on."""
        try:
            self._do(item)
        except MessageError:
            raise
        except SentioError as error:
            self.page.post(messages.refused_message(error))

    def _do(self, item: Any) -> None:
        match item:
            case Picture():
                self._see(item)
            case Shown():
                self.page.post(messages.picture_message(item.time_s, item.jpeg))
                self._see(item)
            case AudioBlock():
                self._hear(item)
            case Open():
                self._open(item)
            case Record(on=True):
                self._running()
                self._recorder.begin(item.name or "")
            case Record():
                self._recorder.end()
            case Event():
                self._recorder.mark(item)
            case Name():
                self._recorder.name(item)
            case Pause():
                self._pause(item.on)
            case _Over():
                self._source_over(item)

    def _open(self, wish: Open) -> None:
        """A new stream, and the source from its beginning."""
        name, source = wish.model or self.settings.options.model, self.settings.source
        if name not in self.settings.models:
            raise InputError(f"There is no model {name!r} here.", f"Choose among: {', '.join(self.settings.models)}.")
        self._stop_source()
        self._recorder.finish()
        self._close_outlet()  # the clock may be another, and the model
        self._stream = None
        options = replace(self.settings.options, model=name)
        self._stream = Stream(options, file="live", sound=source.sound if source else wish.sound, live=True)
        self._recorder.forget_names()
        self._greet(name, unit_thresholds(self._stream.describe()))
        if source is not None:
            self._zero_s, self._control = None, Control()
            self._player = threading.Thread(target=self._play, args=(source, self._control), daemon=True)
            self._player.start()

    def _greet(self, model: str, thresholds: dict[str, float]) -> None:
        source = self.settings.source
        self._post(
            "hello",
            version=__version__,
            models=[{"name": name, "title": title} for name, title in self.settings.models.items()],
            model=model,
            classes=EXPRESSIONS,
            units=ALL_UNITS,
            thresholds=thresholds,
            source=source and {"name": source.name, "sound": source.sound},
            record_folder=str(self.settings.out),
            baseline=self.settings.options.baseline,
            max_picture_bytes=messages.MAX_PICTURE_BYTES,
        )

    def _running(self) -> Stream:
        if self._stream is None:
            raise InputError("No model is open.", "Open the session with one of the models that the server named.")
        return self._stream

    def _see(self, item: Picture | Shown) -> None:
        stream = self._running()
        if isinstance(item, Shown):
            rows, size = stream.push(item.frame), item.frame.size
        else:
            image = messages.decode(item.jpeg)  # (H, W, 3)
            rows, size = stream.push(image, item.time_s), (image.shape[1], image.shape[0])
        work_ms = 1e3 * (time.monotonic() - item.came_s)
        self.page.post(messages.frame_message(item.time_s, size, rows, work_ms))
        self._zero_s = item.time_s if self._zero_s is None else self._zero_s
        self._send_lsl(item, rows)
        self._recorder.keep(stream, self._zero_s, item.time_s, size, rows)

    def _hear(self, block: AudioBlock) -> None:
        """Score the voice. Behind a pause the track begins anew, for it would score the silence."""
        stream = self._stream
        if stream is None or stream.voice is None:
            return
        if block.time_s - self._heard_s > WINDOW_S:
            stream.voice = VoiceTrack(stream.voice.model)
        self._heard_s = block.time_s + len(block.samples) / SAMPLE_RATE
        for score in stream.voice.push(block):
            stream.hearing.push_score(score)  # gives nothing, for no picture waits
            self.page.post(messages.voice_message(score))

    def _send_lsl(self, item: Picture | Shown, rows: list[Row]) -> None:
        name = self.settings.lsl
        if name is None:
            return
        if self._outlet is None:
            now_s = item.time_s + time.monotonic() - item.came_s
            name = name if self.number == 1 else f"{name} {self.number}"
            self._outlet = LslOutlet(now_s, name=name, model=self._running().options.model)
        self._outlet.push(rows)

    def _close_outlet(self) -> None:
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None

    def _pause(self, on: bool) -> None:
        if self._control is not None:
            self._control.pause(on)
            self._close_outlet()  # for a file's clock stands still meanwhile

    def _play(self, source: Source, control: Control) -> None:
        """The source's own thread."""

        def take(item: Shown | AudioBlock) -> None:
            while self._inbox.is_full and control.wait(FULL_S):
                pass
            self._put(item)

        error: SentioError | None = None
        try:
            source.play(take, control)
        except SentioError as refusal:
            error = refusal
        except Exception as defect:
            traceback.print_exc()
            error = InputError(f"{source.name} cannot be read any further: {defect!r}.")
        self._inbox.put(_Over(control, error))

    def _source_over(self, over: _Over) -> None:
        if over.control is not self._control:
            return  # it was stopped
        self._control = None
        if over.error is not None:
            say(str(over.error))
            self.page.post(messages.refused_message(over.error))
        self._recorder.finish()
        self._post("ended")

    def _stop_source(self) -> None:
        """End the source, and forget what it gave."""
        if self._control is not None and self._player is not None:
            self._control.stop.set()
            self._player.join()
            self._control = None
            self._inbox.discard(Shown, AudioBlock)

    def _end(self) -> None:
        try:
            self._stop_source()
            self._close_outlet()
            self._recorder.finish()
        except SentioError as error:  # the page may be gone, so that only the terminal is left
            say(str(error))
