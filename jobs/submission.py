"""Submits the jobs, each resumed from its newest checkpoint when the stack ran before."""

import json
from collections.abc import Callable
from pathlib import Path

from jobs import aggregate_job, offline_job
from jobs.flink_cluster import live_jobs
from jobs.settings import Settings
from jobs.topic_admin import check_topics

SUBMIT: dict[str, Callable[[Settings, str | None], str]] = {
    aggregate_job.JOB_NAME: aggregate_job.submit,
    offline_job.JOB_NAME: offline_job.submit,
}


def submit_jobs(settings: Settings) -> list[str]:
    """Submit the jobs that do not run yet and return their ids.

    Raises:
        SettingsError: a topic is missing or has the wrong settings, or a schema is refused.
        Unavailable: the broker or the registry does not answer.
    """
    check_topics(settings.kafka)
    submitted = _read_ids(settings)
    # A second copy of a running job would read with the same transactional ids.
    missing = [name for name in SUBMIT if name not in live_jobs(settings)]
    for name in missing:
        restore_path = newest_checkpoint(settings.stack.data_dir, submitted.get(name))
        submitted[name] = SUBMIT[name](settings, restore_path)
        _ids_path(settings).write_text(json.dumps(submitted), encoding="utf-8")
    return [submitted[name] for name in missing]


def newest_checkpoint(data_dir: Path, job_id: str | None) -> str | None:
    """Return the newest complete checkpoint of a job as a URI; None when it left none."""
    if job_id is None:
        return None
    folder = data_dir.resolve() / "flink" / "checkpoints" / job_id
    complete = [path.parent for path in folder.glob("chk-*/_metadata")]
    if not complete:
        return None
    return max(complete, key=lambda path: int(path.name.removeprefix("chk-"))).as_uri()


def _ids_path(settings: Settings) -> Path:
    return settings.stack.data_dir / "run" / "jobs.json"


def _read_ids(settings: Settings) -> dict[str, str]:
    path = _ids_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
