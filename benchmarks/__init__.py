"""The simulated fleet and the measurements."""
