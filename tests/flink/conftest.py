"""Keeps what a cluster inside the test does to its process away from the tests that follow."""

import logging
import os
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module", autouse=True)
def untouched_process():
    """Undo what a Python worker in our process has set.

    It sets the environment (among it the variable that forbids to submit a job), the working
    folder, the module path and the log handlers of the whole process, and leaves them so.
    """
    environment, folder, module_path = dict(os.environ), Path.cwd(), sys.path[:]
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:] = module_path
    root.handlers[:] = handlers
    root.setLevel(level)
