"""What waits for a session's thread."""

import threading
from collections import deque
from typing import Any

MOST = 256
"""Items that may wait; of sound a page sends one every 64 ms."""


class Inbox:
    """A queue in which of the pictures only the newest waits, at its own place among the rest; for any threads.

    Attributes:
        dropped: pictures that a newer one replaced, so far.

    Args:
        pictures: the kinds of item that are pictures.
    """

    def __init__(self, *pictures: type) -> None:
        self.dropped = 0
        self._pictures = pictures
        self._items: deque[Any] = deque()
        self._changed = threading.Condition()

    @property
    def is_full(self) -> bool:
        """Whether whoever fills it shall wait."""
        return len(self._items) >= MOST

    def put(self, item: Any) -> bool:
        """Add an item; says whether it is a picture that replaced another one."""
        with self._changed:
            older = [k for k, other in enumerate(self._items) if isinstance(other, self._pictures)]
            replaces = isinstance(item, self._pictures) and bool(older)
            if replaces:
                del self._items[older[0]]
                self.dropped += 1
            self._items.append(item)
            self._changed.notify()
            return replaces

    def discard(self, *kinds: type) -> None:
        """Take out all items of some kinds."""
        with self._changed:
            self._items = deque(item for item in self._items if not isinstance(item, kinds))

    def get(self) -> Any:
        """The first item, as soon as there is one."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items))
            return self._items.popleft()
