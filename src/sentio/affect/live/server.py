"""The server of ``sentio live``: a page and its assets, and one WebSocket for each session."""

import asyncio
import contextlib
import mimetypes
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import PlainTextResponse

from sentio.affect.live import messages
from sentio.affect.live.guard import HOST, Guard, headers
from sentio.affect.live.messages import BAD_ORDER, MessageError
from sentio.affect.live.outbox import BUSY, CLOSE_S, Outbox
from sentio.affect.live.session import FULL_S, Session, Settings
from sentio.core.errors import InputError

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "live"
MAX_SESSIONS = 8
GRACE_S = 10
"""Seconds that pages have to say goodbye when the server ends; recordings take the time they need."""
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
"""Not left to the machine's own table, in which scripts may be plain text."""
FRAME_BYTES = 4 * messages.MAX_PICTURE_BYTES
"""A message over its own limit, but under this one, is refused in words; a larger one is not read."""


class Sessions:
    """Those that are open, and how each goes on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: set[Session] = set()

    async def converse(self, websocket: WebSocket) -> None:
        """Serve a page until it leaves or is sent away; then what it recorded is whole."""
        outbox = Outbox(websocket)
        if len(self._open) >= MAX_SESSIONS:
            outbox.end(BUSY, f"There are {MAX_SESSIONS} pages open; close one first.")
            await outbox.send()
            return await outbox.close()
        taken = {session.number for session in self._open}
        number = next(number for number in count(1) if number not in taken)  # a page that is loaded anew keeps its own
        session = Session(self._settings, outbox, number)
        self._open.add(session)
        session.start()
        sending = asyncio.create_task(outbox.send())
        reading = asyncio.create_task(_read(websocket, session, outbox))
        ending = asyncio.create_task(outbox.ended.wait())
        try:
            await asyncio.wait((sending, reading, ending), return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not reading.exception() and reading.result():
                await asyncio.wait((sending, ending), timeout=CLOSE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, reading, ending):
                task.cancel()
            await asyncio.gather(sending, reading, ending, return_exceptions=True)
            closing = asyncio.create_task(outbox.close())
            await asyncio.to_thread(session.close)
            self._open.discard(session)
            await closing
        return None

    def close(self) -> None:
        """End those whose page had no time to say goodbye."""
        for session in list(self._open):
            session.close()


async def _read(websocket: WebSocket, session: Session, outbox: Outbox) -> bool:
    """Hand on a page's messages until it leaves; says whether it is to be sent away with what was posted."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return False
        data = message.get("bytes")
        try:
            session.take(messages.parse(message.get("text") or "" if data is None else data))
        except MessageError as error:
            outbox.post(messages.refused_message(error))
            outbox.end(error.code, error.what)
            return True
        while session.is_full:
            await asyncio.sleep(FULL_S)


def build_app(settings: Settings, port: int, token: str) -> tuple[FastAPI, Sessions]:
    """The application, and its sessions.

    Args:
        settings: see there.
        port: on which it will be reached.
        token: that the page's address has.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    guard, sessions, assets = Guard(port, token), Sessions(settings), _assets()

    @app.middleware("http")
    async def protect(request: Request, go_on: Callable[[Request], Any]) -> Response:
        response: Response
        try:
            guard.check_host(request)
            response = await go_on(request)
        except HTTPException as error:
            response = PlainTextResponse(f"{error.detail}\n", error.status_code)
        response.headers.update(headers(port))
        return response

    @app.exception_handler(HTTPException)
    async def explain(_: Request, error: HTTPException) -> Response:
        return PlainTextResponse(f"{error.detail}\n", error.status_code)

    @app.get("/")
    async def page(request: Request) -> Response:
        if not guard.knows_token(request):
            raise HTTPException(403, "Open the address that sentio live has printed; it ends in a token.")
        return Response(assets["index.html"], media_type="text/html; charset=utf-8")

    @app.get("/assets/{name:path}")
    async def asset(name: str) -> Response:
        if name not in assets:
            raise HTTPException(404, "There is no such file.")
        return Response(assets[name], media_type=_type_of(name))

    @app.websocket("/session")
    async def session(websocket: WebSocket) -> None:
        if not guard.is_own(websocket):
            await websocket.close(BAD_ORDER)  # before it is accepted: 403
            return
        await websocket.accept()
        if not guard.knows_token(websocket):
            await websocket.close(BAD_ORDER, "The token is wrong; open the address that sentio live has printed.")
            return
        await sessions.converse(websocket)

    return app, sessions


def _assets() -> dict[str, bytes]:
    """All files of the page by their path below its folder."""
    files = (path for path in ASSETS.rglob("*") if path.is_file())
    return {path.relative_to(ASSETS).as_posix(): path.read_bytes() for path in files}


def _type_of(name: str) -> str:
    return TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "text/plain"


class _Server(uvicorn.Server):
    """One that ends in order at any signal, and does not send itself that signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        previous = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


class Server:
    """A server on a port of this machine, from the moment it is made.

    Attributes:
        port: that it has.
        url: of the page, with the token.

    Args:
        settings: see there.
        port: on which to listen; 0 takes any that is free.

    Raises:
        InputError: the port is taken.
    """

    def __init__(self, settings: Settings, port: int = 0) -> None:
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(24)
        self.url = f"http://{HOST}:{self.port}/?token={token}"
        app, self._sessions = build_app(settings, self.port, token)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # its lines would have the token
            server_header=False,
            ws_max_size=FRAME_BYTES,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Server(config)

    def run(self) -> None:
        """Serve until `stop`, Ctrl-C, SIGTERM, or the end of the terminal; recordings are finished then."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._sessions.close()
            self._socket.close()

    def stop(self) -> None:
        """Ask it to end; from any thread."""
        self._server.should_exit = True


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where two may share an address otherwise
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # right after another server's end
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        why = str(getattr(error, "strerror", None) or error).rstrip(".")
        what = f"Port {port} of this machine cannot be used: {why}."
        raise InputError(what, "Choose another with --port, or let --port 0 find one.") from error
    return listener
