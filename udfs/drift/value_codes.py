"""Values as codes of one byte: a scale that is fine near the middle and reaches far.

    y = sinh((code - 128) / 31), in standard deviations      code 0: no value

      code     1 ........ 66 ... 97 .. 128 .. 159 ... 190 ........ 255
      y      -30         -3.6   -1.2   0      1.2     3.6          30

A detector looks at values through these codes in the warm-up and afterwards alike, so an atom of a
discrete metric always falls on the same side of an edge.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from udfs.histogram import Floats

Codes: TypeAlias = NDArray[np.uint8]

NO_VALUE = 0
_MIDDLE = 128
_PER_UNIT = 31.0
_LARGEST = 127

Y_OF_CODE: Floats = np.sinh((np.arange(256) - _MIDDLE) / _PER_UNIT)
Y_OF_CODE[NO_VALUE] = np.nan
Y_MAX = float(Y_OF_CODE[-1])


def codes_of(y: Floats) -> Codes:
    """Return the code of each value.

    Args:
        y: in standard deviations of the stream, any shape; what is beyond 30 is cut off.

    >>> codes_of(np.array([0.0, -1e9, 1.2, np.nan])).tolist()
    [128, 1, 159, 0]
    """
    steps = np.arcsinh(np.clip(np.nan_to_num(y), -1e300, 1e300)) * _PER_UNIT
    code = np.clip(np.rint(steps), -_LARGEST, _LARGEST) + _MIDDLE
    return np.where(np.isnan(y), NO_VALUE, code).astype(np.uint8)
