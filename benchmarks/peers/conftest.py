"""What lives in the peers' own environment cannot be imported in ours."""

collect_ignore = ["bytewax_windows.py", "quix_windows.py"]
