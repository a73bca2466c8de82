"""Where each job goes on: the savepoint it was stopped with, else its newest checkpoint.

<data_dir>/run/jobs.json    name of a job -> its last submission
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jobs.settings import Settings


@dataclass(frozen=True)
class Submission:
    """What is known of the last submission of a job.

    Args:
        job_id: that Flink gave it.
        started_from: URI of a checkpoint or savepoint; None when it started with empty state.
        stopped_with: URI of the savepoint that ended it.
    """

    job_id: str
    started_from: str | None = None
    stopped_with: str | None = None


def read_submissions(settings: Settings) -> dict[str, Submission]:
    """Return the last submission of each job, by its name."""
    path = _path(settings)
    if not path.is_file():
        return {}
    return {name: _entry(found) for name, found in json.loads(path.read_text("utf-8")).items()}


def _entry(found: Any) -> Submission:
    # Before there were savepoints the file named the ids alone.
    return Submission(found) if isinstance(found, str) else Submission(**found)


def note_submission(settings: Settings, job_name: str, submission: Submission) -> None:
    """Write down a submission; whatever is killed meanwhile, the file is whole."""
    submissions = read_submissions(settings) | {job_name: submission}
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    content = {name: asdict(entry) for name, entry in submissions.items()}
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(path)


def note_savepoint(settings: Settings, job_name: str, *, job_id: str, uri: str) -> None:
    """Write down with which savepoint a job was stopped."""
    known = read_submissions(settings).get(job_name)
    submission = known if known is not None and known.job_id == job_id else Submission(job_id)
    note_submission(settings, job_name, replace(submission, stopped_with=uri))


def resume_point(settings: Settings, job_name: str) -> str | None:
    """Return the URI from which a job goes on; None when it has left nothing.

    A job that ended before its first checkpoint goes on from where it had started itself.
    """
    last = read_submissions(settings).get(job_name)
    if last is None:
        return None
    if last.stopped_with is not None:
        return last.stopped_with
    return newest_checkpoint(settings.stack.data_dir, last.job_id) or last.started_from


def newest_checkpoint(data_dir: Path, job_id: str) -> str | None:
    """Return the newest complete checkpoint of a job as a URI; None when it left none."""
    folder = data_dir.resolve() / "flink" / "checkpoints" / job_id
    complete = [path.parent for path in folder.glob("chk-*/_metadata")]
    if not complete:
        return None
    return max(complete, key=lambda path: int(path.name.removeprefix("chk-"))).as_uri()


def _path(settings: Settings) -> Path:
    return settings.stack.data_dir / "run" / "jobs.json"
