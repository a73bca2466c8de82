"""The folder of a demo: emptied at each start, but only when a demo made it.

A marker file says so. Whoever uses the folder for something else takes the marker away, and from
then on no demo touches it.
"""

import shutil
from pathlib import Path

from jobs.directory_lock import directory_lock
from jobs.process_records import read_records
from schemas.errors import SettingsError

MARKER = ".fleetpulse-demo"
MARKER_TEXT = "Made by `fleetpulse demo`, which empties this folder when it starts.\n"


def prepare_demo_folder(data_dir: Path) -> None:
    """Give the demo an empty folder of its own.

    Raises:
        SettingsError: the folder holds something that no demo made, or a stack runs in it.
    """
    if data_dir.is_dir() and any(data_dir.iterdir()):
        _require_own(data_dir)
        _require_idle(data_dir)
        _empty(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / MARKER).write_text(MARKER_TEXT, encoding="utf-8")


def disown_demo_folder(data_dir: Path) -> None:
    """Keep what is in the folder from the next demo."""
    (data_dir / MARKER).unlink(missing_ok=True)


def _require_own(data_dir: Path) -> None:
    if not (data_dir / MARKER).is_file():
        raise SettingsError(
            "stack.data_dir",
            value=str(data_dir),
            allowed="an empty folder, or one that an earlier demo made",
            cure="set FLEETPULSE_STACK__DATA_DIR to another folder, or remove this one yourself",
        )


def _require_idle(data_dir: Path) -> None:
    alive = [r for r in read_records(data_dir.resolve() / "run") if r.process() is not None]
    if alive:
        names = ", ".join(f"{record.name} ({record.pid})" for record in alive)
        raise SettingsError(
            "stack.data_dir",
            value=str(data_dir),
            allowed=f"a folder without a running stack; running there: {names}",
            cure="end it with `fleetpulse down`, or set another data_dir",
        )
    with directory_lock(data_dir):
        pass  # whoever reads the tables has the lock


def _empty(data_dir: Path) -> None:
    """Remove what is in the folder, the marker last: an interrupted removal can be repeated."""
    for path in data_dir.iterdir():
        if path.name == MARKER:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
