"""The former place of `schemas/dead_letter.py`, until everybody imports from there."""

from schemas.dead_letter import CONNECT, REASON, Origin, Refusal, cause_headers

__all__ = ["CONNECT", "REASON", "Origin", "Refusal", "cause_headers"]
