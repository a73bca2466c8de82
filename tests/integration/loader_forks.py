"""Loaders as processes of their own without the seconds that their imports take.

    python -m tests.integration.loader_forks

One process imports everything and does nothing else; each loader is a fork of it, and runs the
`main` of the service. The embedded engine has threads, which no fork survives: it is imported by
the loader itself, when it opens its tables.

    request, a line of JSON                             answer
    {"settings": FILE, "log": FILE, "death": {...}}     process id
    {"poll": process id}                                exit code, null while it runs
"""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa

from jobs import loader_service
from jobs.settings import SETTINGS_FILE_VARIABLE
from tests.chaos import dying_loader

POLL_S = 0.01


class ForkedLoader:
    """One loader, with the part of `subprocess.Popen` that is needed."""

    def __init__(self, forks, pid, log):
        self.pid, self.returncode = pid, None
        self._forks, self._log = forks, log

    def poll(self):
        if self.returncode is None:
            self.returncode = self._forks.ask({"poll": self.pid})
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout=None):
        """Wait for its end; return what it wrote, as `Popen` does."""
        give_up_at_s = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if give_up_at_s is not None and time.monotonic() > give_up_at_s:
                raise subprocess.TimeoutExpired("loader", timeout, self._log.read_text())
            time.sleep(POLL_S)
        return self._log.read_text(), None


class LoaderForks:
    """The process that is forked."""

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.loader_forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        self._process.communicate()

    def ask(self, request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, settings_file, log, death=None):
        """Start a loader; with a death, one that will die of it."""
        request = {"settings": str(settings_file), "log": str(log), "death": death}
        return ForkedLoader(self, self.ask(request), log)


def serve():
    """Answer requests until there are no more."""
    pa.scalar(0)  # imports pandas, which each loader would do by itself with its first row
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            answer = exit_code(request["poll"])
        else:
            answer = os.fork()
            if answer == 0:
                sys.exit(run_loader(**request))
        print(json.dumps(answer), flush=True)


def exit_code(pid):
    ended, status = os.waitpid(pid, os.WNOHANG)
    return None if ended == 0 else os.waitstatus_to_exitcode(status)


def run_loader(settings, log, death):
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.environ[SETTINGS_FILE_VARIABLE] = settings
    loader_service.TOPICS_INTERVAL_MS = dying_loader.TOPICS_INTERVAL_MS
    if death is not None:
        return dying_loader.run(dying_loader.Death(**death))
    return loader_service.main()


if __name__ == "__main__":
    serve()
