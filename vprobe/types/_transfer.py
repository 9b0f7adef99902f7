"""Rows of the table `transfer`: what a steering vector does to instruments that had no part in fitting it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TransferRow:
    """What one value's vector does to one instrument that had no part in fitting or choosing it.

    Args:
        value: Value steered.
        method: Direction method of the vector.
        site: Where it was added.
        positions: Tokens steered.
        strength: The outermost dose, over the median residual norm unless `dose` says otherwise; the estimate is half
            the difference of what it and its opposite do.
        dose: What a strength of 1 is, such as "residual norm".
        instrument: Plug-in name.
        kind: Of its answers: "rating", "self_report", "generation" or "choice"; empty where it was not asked.
        measure: What is measured on it.
        unit: What 1.0 means.
        predicted: +1 or -1: which way it must go if the vector is the value's, said beforehand; 0 is no prediction.
        estimate: Half the change from one outermost dose to the other, in `unit`; NaN where there is none.
        low: Lower end of the 95 % interval, whole queries, stems or choices drawn.
        high: Upper end.
        p: Of no change, two-sided: labels shuffled within queries, or signs of the changes flipped.
        null_low: Quantile of the same under vectors of shuffled labels, 2.5 %; in `unit`.
        null_high: The same, 97.5 %.
        null_p: Share of those vectors, this one among them, with at least the size of the estimate.
        n_nulls: Vectors of shuffled labels tried.
        shown: True where a prediction was made and it goes that way, p and null_p are at most .05, it lies beyond
            95 % of the null vectors, and the model answers at all.
        base: The measure without steering, in its own unit; NaN where a change alone has a meaning.
        n: Items, stems or choices used.
        n_unscored: Those without a usable answer.
        option_mass: Mean total probability of the options without steering; NaN of free text.
        note: Why there is no figure, or what a reader must know; empty otherwise.
    """

    value: str
    method: str
    site: str
    positions: str
    strength: float
    dose: str
    instrument: str
    kind: str
    measure: str
    unit: str
    predicted: int
    estimate: float
    low: float
    high: float
    p: float
    null_low: float
    null_high: float
    null_p: float
    n_nulls: int
    shown: bool
    base: float
    n: int
    n_unscored: int
    option_mass: float
    note: str = ""
