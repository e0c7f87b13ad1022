"""Of the pictures only the newest waits; all else keeps its order."""

import threading

from sentio.affect.live.inbox import MOST, Inbox


class Picture(str):
    pass


def test_a_newer_picture_takes_the_place_of_one_that_waits() -> None:
    inbox = Inbox(Picture)
    replaced = [inbox.put(item) for item in ("a", Picture("1"), "b", Picture("2"), Picture("3"), "c")]
    assert replaced == [False, False, False, True, True, False]
    assert inbox.dropped == 2
    assert [inbox.get() for _ in range(4)] == ["a", "b", "3", "c"]


def test_all_that_is_no_picture_arrives_from_another_thread() -> None:
    inbox = Inbox(Picture)

    def fill() -> None:
        for number in range(1000):
            inbox.put(Picture(number) if number % 3 == 0 else number)
        inbox.put(None)

    thread = threading.Thread(target=fill)
    thread.start()
    items = list(iter(inbox.get, None))
    thread.join()
    assert [item for item in items if not isinstance(item, Picture)] == [k for k in range(1000) if k % 3]
    pictures = [int(item) for item in items if isinstance(item, Picture)]
    assert pictures == sorted(pictures) and pictures[-1] == 999 and len(pictures) + inbox.dropped == 334


def test_it_tells_when_it_is_full_and_forgets_what_it_is_told_to() -> None:
    inbox = Inbox(Picture)
    for number in range(MOST):
        assert not inbox.is_full
        inbox.put(number)
    assert inbox.is_full
    inbox.put("text")
    inbox.discard(int)
    assert not inbox.is_full and inbox.get() == "text"
