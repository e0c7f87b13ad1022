"""What waits for a page: in order, from any thread, and not without end."""

import asyncio
import threading

from sentio.affect.live.outbox import BUSY, MAX_WAITING, PICTURES_WAITING, Outbox


class Socket:
    """Notes what it is sent, once it may."""

    def __init__(self) -> None:
        self.sent: list = []
        self.closed: tuple[int, str] | None = None
        self.writable = asyncio.Event()

    async def send_text(self, text: str) -> None:
        await self.writable.wait()
        self.sent.append(text)

    async def send_bytes(self, data: bytes) -> None:
        await self.send_text(data)

    async def close(self, code: int, reason: str) -> None:
        await self.writable.wait()
        self.closed = code, reason


def test_all_is_sent_in_order_and_the_end_comes_last() -> None:
    async def talk() -> Socket:
        socket = Socket()
        socket.writable.set()
        outbox = Outbox(socket)

        def post() -> None:
            for number in range(100):
                outbox.post(str(number))
            outbox.end(1008, "x" * 200)
            outbox.post("too late")

        thread = threading.Thread(target=post)
        thread.start()
        await outbox.send()
        await outbox.close()
        thread.join()
        return socket

    socket = asyncio.run(talk())
    assert socket.sent == [str(number) for number in range(100)]
    assert socket.closed == (1008, "x" * 120), "a close frame has room for no more"


def test_a_page_that_takes_nothing_is_given_up() -> None:
    async def talk() -> tuple[Socket, Outbox]:
        socket = Socket()
        outbox = Outbox(socket)
        sending = asyncio.create_task(outbox.send())
        for number in range(MAX_WAITING + 10):
            outbox.post(str(number))
        await asyncio.wait_for(outbox.ended.wait(), 60)
        sending.cancel()
        socket.writable.set()
        await outbox.close()
        return socket, outbox

    socket, _ = asyncio.run(talk())
    assert socket.sent == [] and socket.closed == (BUSY, "The page reads too slowly.")


def test_pictures_are_left_out_before_words_are() -> None:
    async def talk() -> Socket:
        socket = Socket()
        outbox = Outbox(socket)
        for number in range(3 * PICTURES_WAITING):
            outbox.post(b"picture")
            outbox.post(str(number))
        outbox.end(1000, "")
        socket.writable.set()
        await outbox.send()
        return socket

    sent = asyncio.run(talk()).sent
    assert [text for text in sent if text != b"picture"] == [str(k) for k in range(3 * PICTURES_WAITING)]
    assert sent[:PICTURES_WAITING] == [b"picture", "0", b"picture", "1"] and sent.count(b"picture") == 2


def test_what_is_posted_behind_the_end_of_the_server_is_nothing() -> None:
    async def make() -> Outbox:
        return Outbox(Socket())

    outbox = asyncio.run(make())
    outbox.post("nobody hears it")
    outbox.end(1000, "")
