"""Directions: where in a model more of a value points. One estimator per file; this package settles sign and norm.

A plug-in has `ROLE` ("read" detects, "write" steers), `EFFECT` ("marginal" or "partial") and `NEEDS`. One that needs
"labels" of items also has `ROTATES` (True when rotating the activations rotates its directions and changes nothing
else, which lets wide models be fitted in few dimensions), `JOINT` (True when a value's direction depends on the other
values' labels, or on its place among them), `NULL` (True for controls that mean nothing: see `nulls`) and

    estimate(x "sample d_model", y "sample column", groups, *, seed) -> "column d_model"

with any length and sign, NaN for a column without usable labels; a joint one also takes `block`, how many columns in a
row belong together, and one that chooses a penalty may take `whole`, what its folds keep whole. Null draws are just
more columns. All estimators here see labels and activations as deviations from their query's mean. One that needs
"prompted" directions has

    divide(intrinsic " d_model", prompted " d_model", *, normalize) -> Division

Beside them stand three things that are no methods: `pattern` turns the weights of any probe into the direction that
writes what it reads, `Eraser` takes away what can be read linearly of values, and `value_neurons` and
`contrast_neurons` name the neurons that write a value.
"""

from vprobe.directions._cross import Nested, held_out, nested
from vprobe.directions._erase import Eraser, eraser
from vprobe.directions._fit import check, fit, fit_all, methods, nulls
from vprobe.directions._neurons import Contrast, ValueNeurons, contrast_neurons, value_neurons
from vprobe.directions._pattern import pattern
from vprobe.directions._split import split
from vprobe.directions.svd_shared import Division, divide

__all__ = [
    "Contrast",
    "Division",
    "Eraser",
    "Nested",
    "ValueNeurons",
    "check",
    "contrast_neurons",
    "divide",
    "eraser",
    "fit",
    "fit_all",
    "held_out",
    "methods",
    "nested",
    "nulls",
    "pattern",
    "split",
    "value_neurons",
]
