"""Where a job goes on after it was stopped, killed, or killed again at once."""

import json

import pytest

from jobs.resume_points import Submission, note_savepoint, note_submission, resume_point
from jobs.settings import load_settings

JOB = "fleetpulse-aggregate"


@pytest.fixture
def settings(tmp_path):
    return load_settings(stack={"data_dir": tmp_path})


def complete(settings, job_id, *numbers):
    for number in numbers:
        folder = settings.stack.data_dir / "flink" / "checkpoints" / job_id / f"chk-{number}"
        folder.mkdir(parents=True)
        (folder / "_metadata").touch()


def test_a_job_that_never_ran_starts_with_empty_state(settings):
    assert resume_point(settings, JOB) is None


def test_a_killed_job_goes_on_from_its_newest_complete_checkpoint(settings):
    note_submission(settings, JOB, Submission("a"))
    complete(settings, "a", 9, 10)
    (settings.stack.data_dir / "flink" / "checkpoints" / "a" / "chk-11").mkdir()
    assert resume_point(settings, JOB).endswith("/a/chk-10")


def test_a_job_killed_before_its_first_checkpoint_goes_on_from_where_it_had_started(settings):
    note_submission(settings, JOB, Submission("b", started_from="file:///a/chk-10"))
    assert resume_point(settings, JOB) == "file:///a/chk-10"
    complete(settings, "b", 1)
    assert resume_point(settings, JOB).endswith("/b/chk-1")


def test_a_stopped_job_goes_on_from_its_savepoint_once(settings):
    note_submission(settings, JOB, Submission("a", started_from="file:///old"))
    complete(settings, "a", 3)
    note_savepoint(settings, JOB, job_id="a", uri="file:///savepoint-1")
    assert resume_point(settings, JOB) == "file:///savepoint-1"
    note_submission(settings, JOB, Submission("b", started_from="file:///savepoint-1"))
    complete(settings, "b", 4)
    assert resume_point(settings, JOB).endswith("/b/chk-4")


def test_a_savepoint_of_a_job_that_others_submitted_counts(settings):
    note_submission(settings, JOB, Submission("a"))
    complete(settings, "a", 3)
    note_savepoint(settings, JOB, job_id="theirs", uri="file:///savepoint-2")
    assert resume_point(settings, JOB) == "file:///savepoint-2"


def test_a_file_of_the_first_release_is_understood(settings):
    path = settings.stack.data_dir / "run" / "jobs.json"
    path.parent.mkdir()
    path.write_text(json.dumps({JOB: "a"}), encoding="utf-8")
    complete(settings, "a", 2)
    assert resume_point(settings, JOB).endswith("/a/chk-2")


def test_jobs_do_not_share_their_places(settings):
    note_submission(settings, JOB, Submission("a"))
    note_submission(settings, "fleetpulse-offline", Submission("o", started_from="file:///o"))
    complete(settings, "a", 1)
    assert resume_point(settings, JOB).endswith("/a/chk-1")
    assert resume_point(settings, "fleetpulse-offline") == "file:///o"
