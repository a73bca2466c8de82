"""Stops the jobs, each with a savepoint from which `fleetpulse submit` goes on.

A job that is stopped so has committed all that it has read: between the stop and the submission
nothing is half done, so its parallelism may change and its code may be replaced.
"""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from jobs.flink_cluster import (
    ENDED_STATES,
    REST_TIMEOUT_S,
    ask_flink,
    flink_dir,
    flink_url,
)
from jobs.resume_points import note_savepoint
from jobs.settings import Settings
from schemas.errors import Unavailable

SAVEPOINT_TIMEOUT_S = 120.0
POLL_INTERVAL_S = 0.2


def stop_jobs(settings: Settings) -> dict[str, str]:
    """Stop every live job with a savepoint and return their URIs by the name of the job.

    Raises:
        Unavailable: the cluster does not answer, or a savepoint failed; that job still runs.
    """
    jobs = ask_flink(settings, "/jobs/overview")["jobs"]
    live = {job["name"]: job["jid"] for job in jobs if job["state"] not in ENDED_STATES}
    triggers = {name: _trigger(settings, job_id) for name, job_id in live.items()}
    savepoints = {}
    for name, trigger_id in triggers.items():
        savepoints[name] = _finished(settings, name, live[name], trigger_id)
        note_savepoint(settings, name, job_id=live[name], uri=savepoints[name])
    return savepoints


def _trigger(settings: Settings, job_id: str) -> str:
    folder = (flink_dir(settings) / "savepoints").as_uri()
    # Not drained: that would end windows and timers as if the input were over.
    wish = {"targetDirectory": folder, "drain": False}
    return str(_post(settings, f"/jobs/{job_id}/stop", wish)["request-id"])


def _finished(settings: Settings, name: str, job_id: str, trigger_id: str) -> str:
    """Wait until a savepoint is complete and its job has ended; return the savepoint's URI."""
    give_up_at_s = time.monotonic() + SAVEPOINT_TIMEOUT_S
    while time.monotonic() < give_up_at_s:
        answer = ask_flink(settings, f"/jobs/{job_id}/savepoints/{trigger_id}")
        if answer["status"]["id"] == "COMPLETED":
            return _uri(name, answer["operation"])
        time.sleep(POLL_INTERVAL_S)
    raise Unavailable(f"{name}: no savepoint after {SAVEPOINT_TIMEOUT_S:.0f} s; see Flink's page")


def _uri(name: str, operation: dict[str, Any]) -> str:
    if "failure-cause" in operation:
        cause = str(operation["failure-cause"]["class"])
        raise Unavailable(f"{name}: its savepoint failed ({cause}); see Flink's page")
    return str(operation["location"])


def _post(settings: Settings, path: str, wish: dict[str, Any]) -> dict[str, Any]:
    url = f"{flink_url(settings)}{path}"
    body, kind = json.dumps(wish).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=kind, method="POST")  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=REST_TIMEOUT_S) as answer:  # noqa: S310 - our own
            return dict(json.load(answer))
    except (urllib.error.URLError, OSError, json.JSONDecodeError) as error:
        raise Unavailable(f"Flink does not answer at {url} ({error})") from error
