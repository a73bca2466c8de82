"""Workers of a cluster inside the test are processes of their own, as they are in production.

In the default, loopback mode, Flink runs Python workers as threads of the test's process. A thread
sets the variable that forbids to submit a job, the working folder, the module path and the log
handlers, and a job that failed may start one more after its test has ended.
"""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def workers_of_their_own():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_python_worker_execution_mode", "process")
        patch.setenv("PYTHONPATH", str(REPOSITORY), prepend=":")
        yield
