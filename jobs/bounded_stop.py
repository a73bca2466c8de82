"""A stop that ends in time, even when a server that was asked does not answer.

    SIGTERM ──> the event is set: work ends at the next look at it
       │ 7 s    StopOverdue in the main thread, out of any wait of Python for a socket
       └ 9 s    the process ends: a library in C does not come back from its wait

Nothing is lost by either: of what is done the ledger alone tells, as after a kill.
"""

import os
import signal
import socket
import threading

OVERDUE_AFTER_S = 7.0
"""From the signal on; a flush of all that waits takes under 2 s."""
END_AFTER_S = 9.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
LAST_WORDS = b"ended in the middle of a call: the next start goes on where the ledger ends\n"


class StopOverdue(BaseException):
    """We were told to stop, and something has not answered since."""


def bounded_stop() -> threading.Event:
    """Let SIGTERM and SIGINT set an event, and end the process in time whatever it waits for.

    To be called in the main thread, where handlers run; it then may get `StopOverdue` anywhere.

    Returns:
        the event.
    """
    stop = threading.Event()

    def on_stop(*_: object) -> None:
        if not stop.is_set():
            stop.set()
            signal.setitimer(signal.ITIMER_REAL, OVERDUE_AFTER_S)

    signal.signal(signal.SIGALRM, _on_overdue)
    for number in STOP_SIGNALS:
        signal.signal(number, on_stop)
    _end_later()
    return stop


def _on_overdue(*_: object) -> None:
    raise StopOverdue


def _end_later() -> None:
    """Let a thread end the process some time after a stop signal, which it sees by itself.

    Handlers wait until the main thread runs Python again; the wakeup file does not.
    """
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)  # noqa: FBT003 - its only argument
    signal.set_wakeup_fd(mouth.detach(), warn_on_full_buffer=False)

    def watch() -> None:
        while ear.recv(1)[0] not in STOP_SIGNALS:
            pass
        threading.Event().wait(END_AFTER_S)
        os.write(2, LAST_WORDS)
        os._exit(0)

    threading.Thread(target=watch, name="bounded-stop", daemon=True).start()
