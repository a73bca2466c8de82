"""Which metrics are about predictions, by the words of their names: bad ones need no configuration.

prediction_confidence_ratio -> confidence      inference.error_rate -> error
prediction_entropy_nats     -> entropy         predicted_class      -> class
"""

import re
from enum import StrEnum
from functools import lru_cache

WORD = re.compile(r"[^a-z0-9]+")
SHARE_WORDS = frozenset({"rate", "ratio", "share", "percent", "pct", "fraction", "probability"})
MODEL_WORDS = frozenset({"prediction", "predicted", "predictions", "inference", "model", "output"})
ERROR_WORDS = frozenset({"error", "errors", "failed", "failure", "failures", "disagreement"})
CLASS_WORDS = frozenset({"class", "classes", "label", "category"})
PERCENT_WORDS = frozenset({"percent", "pct"})


class PredictionKind(StrEnum):
    """What a metric says of predictions."""

    CONFIDENCE = "confidence"
    ENTROPY = "entropy"
    ERROR = "error"
    CLASS = "class"
    """Values are the names of classes, as numbers."""


BINNED_KINDS = frozenset({PredictionKind.CONFIDENCE, PredictionKind.ERROR, PredictionKind.CLASS})
"""Of which a device's histogram is looked at, not only its mean."""


@lru_cache(maxsize=100_000)
def kind_of(metric: str) -> PredictionKind | None:
    """Return what a metric says of predictions, None when it is no such metric.

    >>> [kind_of(name) for name in ("confidence", "cpu_temperature_celsius", "is_error")]
    [<PredictionKind.CONFIDENCE: 'confidence'>, None, <PredictionKind.ERROR: 'error'>]
    >>> kind_of("predicted_class"), kind_of("class_share_ratio"), kind_of("position_error_m")
    (<PredictionKind.CLASS: 'class'>, None, None)
    """
    words = frozenset(WORD.split(metric.lower()))
    is_share, is_of_model = bool(words & SHARE_WORDS), bool(words & MODEL_WORDS)
    if "confidence" in words:
        return PredictionKind.CONFIDENCE
    if "entropy" in words:
        return PredictionKind.ENTROPY
    if words & ERROR_WORDS and (is_share or is_of_model or "is" in words or words <= ERROR_WORDS):
        return PredictionKind.ERROR
    has_class = bool(words & CLASS_WORDS) and not is_share
    if has_class and (is_of_model or words <= CLASS_WORDS | {"id", "index", "top", "top1"}):
        return PredictionKind.CLASS
    return None


def half_of(metric: str) -> float:
    """Return the middle of the scale of a metric that goes from nothing to all.

    >>> half_of("confidence_ratio"), half_of("confidence_percent")
    (0.5, 50.0)
    """
    return 50.0 if PERCENT_WORDS & frozenset(WORD.split(metric.lower())) else 0.5
