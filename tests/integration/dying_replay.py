"""A real replay that kills itself (SIGKILL) when all is sent and nothing committed.

python -m tests.integration.dying_replay
"""

import os
import signal

from jobs.dead_letters_replay import ReplayOptions, replay_letters
from jobs.settings import load_settings
from sinks.dead_letter_replay_writer import ReplayWriter
from sinks.dead_letter_summary import LetterFilter


def die(_writer):
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    ReplayWriter._commit = die
    replay_letters(load_settings(), ReplayOptions(LetterFilter()), print)
