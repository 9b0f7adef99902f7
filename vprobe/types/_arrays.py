"""Arrays that cannot be changed."""

from __future__ import annotations

from typing import Any

import numpy as np


def frozen_array(array: Any, dtype: Any = np.float32) -> np.ndarray:
    """Return a read-only contiguous array; a fresh copy only where one is needed."""
    out = np.ascontiguousarray(array, dtype=dtype)
    if out is array or out.base is not None:
        out = out.view()
    out.flags.writeable = False
    return out
