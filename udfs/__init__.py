"""The verbs of Fleetpulse: pure column logic, and the thin operators that run it in Flink."""
