"""Drift and anomalies: complete windows in, findings with a stated false-alarm budget out."""
