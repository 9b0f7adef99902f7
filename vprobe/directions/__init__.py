"""Directions: where in a model more of a value points. One estimator per file; this package settles sign and norm.

A plug-in has `ROLE` ("read" detects, "write" steers), `EFFECT` ("marginal" or "partial"), `ROTATES` (True when
rotating the activations rotates its directions and changes nothing else, which lets wide models be fitted in few
dimensions), `JOINT` (True when a value's direction depends on the other values' labels) and

    estimate(x "sample d_model", y "sample column", groups, *, seed) -> "column d_model"

with any length and sign, NaN for a column without usable labels; a joint one also takes `block`, how many columns in a
row belong together. Null draws are just more columns. All estimators here
see labels and activations as deviations from their query's mean.
"""

from vprobe.directions._cross import Nested, held_out, nested
from vprobe.directions._fit import fit, fit_all, methods

__all__ = ["Nested", "fit", "fit_all", "held_out", "methods", "nested"]
