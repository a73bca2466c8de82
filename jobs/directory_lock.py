"""One process for one ClickHouse directory: a lock that names its holder.

The embedded engine refuses a second process too, but cannot say who the first one is.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import SettingsError

LOCK_NAME = "clickhouse.lock"


class DirectoryLocked(SettingsError):
    """Another process has the directory open."""


@contextlib.contextmanager
def directory_lock(data_dir: Path) -> Iterator[None]:
    """Hold the lock of the ClickHouse directory in `data_dir`; the kernel frees it with us.

    Raises:
        DirectoryLocked: another process holds it; names its process id.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / LOCK_NAME
    # Never truncate before the lock is ours: the text names the process that has it.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _held(data_dir, lock_holder(data_dir)) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def lock_holder(data_dir: Path) -> int | None:
    """Return the process id in the lock file; None when there is none."""
    try:
        text = (data_dir / LOCK_NAME).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def _held(data_dir: Path, holder: int | None) -> DirectoryLocked:
    who = f"process {holder}" if holder is not None else "another process"
    return DirectoryLocked(
        "stack.data_dir",
        value=str(data_dir),
        allowed=f"a directory whose tables no other process has open ({who} has them)",
        cure=f"end {who}, ask it through `fleetpulse query`, or set FLEETPULSE_STACK__DATA_DIR",
    )
