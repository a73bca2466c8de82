"""The processes of a local stack as a fault sees them: found, killed at once, started again.

The stack restarts nothing by itself but Flink's own jobs: whoever kills a task manager or a job
manager here starts it again, as an operator or a supervisor would.
"""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from jobs.flink_cluster import (
    are_tasks_running,
    ask_flink,
    flink_dir,
    has_slots,
    job_manager_program,
    task_manager_program,
)
from jobs.local_stack import LocalStack
from jobs.process_group import ProcessGroup, Program
from jobs.process_records import ProcessRecord, end_processes, read_records
from jobs.settings import Settings
from jobs.submit import submit_from_child

WORKER_MODULE = "pyflink.fn_execution.beam.beam_boot"
DEADLINE_S = 150.0
"""For one step of a recovery, on a machine that is busy with other work."""
POLL_S = 0.1
WATCH_S = 0.0005
"""A checkpoint of a small state is over within a few hundred milliseconds."""


class Victims:
    """What can be killed in a running stack.

    Args:
        stack: started already.
    """

    def __init__(self, stack: LocalStack) -> None:
        self.settings = stack.settings
        self._run_dir, self._log_dir = stack.run_dir, stack.log_dir
        # Of its own: the stack's group takes its processes for ended when we have killed them.
        self._group = ProcessGroup(stack.run_dir, stack.log_dir)
        self._killed: list[ProcessRecord] = []

    def job_id(self, name: str) -> str:
        """Return the id of the live job of a name."""
        jobs = ask_flink(self.settings, "/jobs/overview")["jobs"]
        newest = max((j for j in jobs if j["name"] == name), key=lambda job: job["start-time"])
        return str(newest["jid"])

    def worker(self, job_name: str) -> psutil.Process:
        """Return a Python worker of a job; it is known by the copy of our code that it runs."""
        copies = set(flink_dir(self.settings).rglob(f"job_{self.job_id(job_name)}/blob_p-*"))
        names = {copy.name for copy in copies}
        leader = psutil.Process(self._pid("taskmanager"))
        for process in leader.children(recursive=True):
            if WORKER_MODULE not in process.cmdline():
                continue
            if names & set(Path(process.environ()["PYTHONPATH"].partition(":")[0]).parts):
                return process
        raise AssertionError(f"{job_name} has no Python worker; its code is {sorted(names)}")

    def begun_checkpoint(self, job_name: str) -> Path:
        """Wait until a job begins a checkpoint and return its folder; it is not complete yet."""
        folder = flink_dir(self.settings) / "checkpoints" / self.job_id(job_name)
        before = set(folder.glob("chk-*"))
        give_up_at_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < give_up_at_s:
            begun = {path for path in folder.glob("chk-*") if path not in before}
            if begun and not is_complete(min(begun)):
                return min(begun)
            before |= begun
            time.sleep(WATCH_S)
        raise AssertionError(f"{job_name} began no checkpoint")

    def completes(self, checkpoint: Path) -> bool:
        """Wait for the end of a checkpoint that has begun, and say whether it is complete."""
        wait_for(lambda: is_complete(checkpoint) or not checkpoint.exists(), "end of it")
        return is_complete(checkpoint)

    def parallelism(self, job_name: str) -> int:
        """Return the parallelism of the widest task of a job."""
        vertices = ask_flink(self.settings, f"/jobs/{self.job_id(job_name)}")["vertices"]
        return max(vertex["parallelism"] for vertex in vertices)

    def kill(self, *names: str) -> None:
        """Kill processes of the stack, not their children, and wait until they have ended."""
        self._killed += [r for r in read_records(self._run_dir) if r.name in names]
        killed = [psutil.Process(self._pid(name)) for name in names]
        for process in killed:
            process.kill()
        psutil.wait_procs(killed, timeout=DEADLINE_S)

    def end_orphans(self) -> None:
        """End Python workers that have outlived a task manager: nobody else knows of them."""
        end_processes(self._killed, grace_s=1.0)

    def start_task_manager(self) -> None:
        """Start the task manager again."""
        self._start(task_manager_program(self.settings))

    def start_flink(self) -> None:
        """Start both processes of Flink again and return when the cluster has slots."""
        self._start(job_manager_program(self.settings))
        self.start_task_manager()
        wait_for(lambda: has_slots(self.settings), "slots of the cluster")

    def submit(self, settings: Settings) -> None:
        """Submit the jobs as `fleetpulse submit` does, and return when all tasks run."""
        assert submit_from_child(settings) == 0
        wait_for(lambda: are_tasks_running(self.settings), "running tasks")

    def _start(self, program: Program) -> None:
        # The new process writes a log of the same name.
        log = self._log_dir / f"{program.name}.log"
        log.replace(log.with_suffix(f".{int(time.time())}.killed"))
        self._group.start(program)

    def _pid(self, name: str) -> int:
        (pid,) = [record.pid for record in read_records(self._run_dir) if record.name == name]
        return pid


def is_complete(checkpoint: Path) -> bool:
    """Say whether a checkpoint could be restored."""
    return (checkpoint / "_metadata").is_file()


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Return when a condition holds."""
    give_up_at_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < give_up_at_s, f"no {what} after {deadline_s:.0f} s"
        time.sleep(POLL_S)
