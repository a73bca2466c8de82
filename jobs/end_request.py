"""How a person or the system asks a command to end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndRequest:
    """Turns signals into events, so that an end under way is never torn apart by another signal.

    The first signal asks to end; one that comes while ending asks to hurry.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.hurried = threading.Event()
        self._is_interrupting = False
        self._is_ending = False

    @contextmanager
    def installed(self) -> Iterator[Self]:
        """Catch the signals while the block runs; only in the main thread."""
        before = {number: signal.signal(number, self._on_signal) for number in END_SIGNALS}
        try:
            yield self
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let the first signal raise KeyboardInterrupt while the block runs.

        Raises:
            KeyboardInterrupt: also when the signal came before.
        """
        self._is_interrupting = True
        try:
            if self.asked.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self._is_interrupting = False

    def begin_end(self) -> None:
        """Take every further signal as a wish to hurry."""
        self._is_ending = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._is_ending:
            self.hurried.set()
            return
        is_first = not self.asked.is_set()
        self.asked.set()
        if is_first and self._is_interrupting:
            raise KeyboardInterrupt
