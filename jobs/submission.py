"""Submits the jobs, each resumed from where it was when the stack ran before."""

from collections.abc import Callable

from jobs import aggregate_job, drift_job, offline_job, rules_job
from jobs.flink_cluster import live_jobs
from jobs.resume_points import Submission, note_submission, resume_point
from jobs.settings import Settings
from jobs.topic_admin import check_topics, check_transaction_timeout

SUBMIT: dict[str, Callable[[Settings, str | None], str]] = {
    aggregate_job.JOB_NAME: aggregate_job.submit,
    offline_job.JOB_NAME: offline_job.submit,
    rules_job.JOB_NAME: rules_job.submit,
    drift_job.JOB_NAME: drift_job.submit,
}


def submit_jobs(settings: Settings) -> list[str]:
    """Submit the jobs that do not run yet and return their ids.

    Raises:
        SettingsError: a topic is missing or has the wrong settings, a schema is refused, or the
            transaction timeout does not fit the broker and the checkpoints.
        Unavailable: the broker or the registry does not answer.
    """
    check_topics(settings.kafka)
    check_transaction_timeout(settings)
    # A second copy of a running job would write with the same transactional ids.
    live = live_jobs(settings) | (set() if settings.drift.is_on else {drift_job.JOB_NAME})
    missing = [name for name in SUBMIT if name not in live]
    return [_submit(settings, name) for name in missing]


def _submit(settings: Settings, name: str) -> str:
    started_from = resume_point(settings, name)
    job_id = SUBMIT[name](settings, started_from)
    note_submission(settings, name, Submission(job_id, started_from))
    return job_id
