"""What holds for every test: quiet panics of the block reader, and hypothesis profiles."""

import os

# Polars prints a Rust backtrace for each panic that we catch; it reads the variable at its import.
os.environ["RUST_BACKTRACE"] = "0"

from hypothesis import settings

# The machine that runs the tests may be busy: time limits belong to pytest, not to one example.
settings.register_profile("default", deadline=None, print_blob=True)
settings.load_profile("default")
