"""Criteria 9 to 12: circles that labels hand down, the correspondence index, absolute agreement, smooth profiles.

Statistics are compared with published figures, with closed forms written out here, and with independent libraries
(pingouin, rthor, audmetric, scikit-learn). Each check takes `quick`, which means fewer draws with the same judgement,
and returns what was found and whether that is what it must be.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import astuple

import numpy as np
from scipy import stats as scipy_stats
from vprobe import benchmarks, claims, controls, stats
from vprobe.claims.reading import Reading
from vprobe.values import ANGLES, HUMAN_COVARIANCE, SCHWARTZ, TEN_PLACES

from statistics_official import Absent, official

RIASEC = (
    (0.62, 0.40, 0.38, 0.44, 0.61, 0.62, 0.55, 0.53, 0.55, 0.52, 0.53, 0.43, 0.49, 0.48, 0.74),
    (0.67, 0.47, 0.51, 0.46, 0.64, 0.61, 0.55, 0.51, 0.53, 0.45, 0.52, 0.40, 0.47, 0.42, 0.73),
    (0.58, 0.38, 0.53, 0.43, 0.67, 0.65, 0.67, 0.55, 0.59, 0.65, 0.55, 0.47, 0.59, 0.60, 0.76),
)
"""Correlations of six interests in three samples (upper triangles), the example of the RTHORR package."""
SHROUT_FLEISS = ((9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7))
"""Six targets, four judges: Shrout & Fleiss (1979), table 2."""
PUBLISHED_ICC = (0.17, 0.29, 0.71, 0.44, 0.62, 0.91)
NAIVE = 0.6485
"""Two-sided .05 critical value of Spearman's rho for ten independent points."""


def full(upper: tuple[float, ...], n: int = 6) -> np.ndarray:
    """Return a correlation matrix from its upper triangle."""
    out = np.eye(n)
    out[np.triu_indices(n, 1)] = upper
    return np.maximum(out, out.T)


# --- 9: circle -------------------------------------------------------------------------------------------------------


def circle(quick: bool) -> tuple[str, bool]:
    """Fit directions to random activations on shuffled labels: the circle is there, and the corrected tests say no."""
    found = benchmarks.load("value-portrait", folder=official())
    ids = tuple(item.id for item in found.items)
    y, groups = found.loadings(ids, SCHWARTZ), found.groups(ids)
    sets, claimed = (200, 60) if quick else (1000, 300)
    indices, published, corrected, unique = [], [], [], []
    for seed in range(sets):
        x = np.random.default_rng(seed).standard_normal((len(y), 64))
        mixed = controls.shuffle_labels(y, groups, draws=1, seed=10_000 + seed)[0]
        read = Reading(x, mixed, groups, (), SCHWARTZ, "covariance", "random")
        row = claims.correspondence(read, claims.Level(0.05, 39, seed), resamples=0, orders=199)
        indices.append(row.estimate)
        corrected.append(row.p <= 0.05)
        if seed < claimed:
            published.append(float(row.note.partition("gives p = ")[2].partition(";")[0]) <= 0.05)
            unique.append(claims.circle(read, claims.Level(0.05, 39, seed), reliability=found.reliability).made)
    mean, (low, high) = float(np.mean(indices)), np.quantile(indices, [0.05, 0.95])
    rates = [float(np.mean(one)) for one in (corrected, unique, published)]
    text = (
        f"mean CI {mean:.3f} (5-95 %: {low:.2f} to {high:.2f}, {sets} sets); published test rejects {rates[2]:.2f}, "
        f"the corrected index {rates[0]:.3f}, the circle claim {rates[1]:.3f} ({claimed} sets)"
    )
    allowed = 0.09 if quick else 0.065  # 200 sets have a standard error of .015
    return text, 0.5 <= mean <= 0.7 and rates[0] <= allowed and rates[1] <= 0.065 and rates[2] > 0.9


# --- 10: RTHOR -------------------------------------------------------------------------------------------------------


def rthor(quick: bool) -> tuple[str, bool]:
    """Test the published example, count the predictions of ten places, and take the index of real people."""
    found = [stats.correspondence(full(one), seed=0) for one in RIASEC]
    index, p = [round(one.index, 3) for one in found], [round(one.p, 4) for one in found]
    people = humans()
    places = [SCHWARTZ.index(value) for value in TEN_PLACES]
    rho = np.asarray(scipy_stats.spearmanr(people[:, places])[0])
    ten = stats.correspondence(rho, seed=0, orders=2000 if quick else 20_000)
    text = (
        f"CI {', '.join(f'{one:.3f}' for one in index)}; p {', '.join(f'{one:.4f}' for one in p)}; "
        f"{ten.n_predictions} predictions; {len(people)} people CI {ten.index:.4f} (rank correlations, Tradition "
        f"beside Benevolence), p {ten.p:.1g}"
    )
    ok = index == [0.653, 0.486, 0.597] and p == [0.0167, 0.0333, 0.0167] and ten.n_predictions == 800
    return text, ok and abs(ten.index - 0.665) <= 0.001


def humans() -> np.ndarray:
    """Return the ten PVQ-21 values of everybody who rated, in the order of SCHWARTZ."""
    from vprobe.labels import _raw

    folder = official()
    raters = sorted({rater for group in _raw.groups(folder, repaired=False) for rater in group.raters})
    profiles = _raw.profiles(folder)
    return np.array([profiles[one] for one in raters])[:, [_raw.VALUES.index(value) for value in SCHWARTZ]]


# --- 11: absolute agreement ------------------------------------------------------------------------------------------


def absolute(quick: bool) -> tuple[str, bool]:
    """Compare with the published table, and with every formula written out again in another form."""
    got = [round(one, 2) for one in astuple(stats.icc(np.array(SHROUT_FLEISS, dtype=float)))]
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(5 if quick else 50):
        x = rng.normal(3.5, 1.2, 60)
        y = 0.7 * x + rng.normal(1.4, 0.6, 60)
        gaps += [*concordance_gaps(x, y), *bland_altman_gaps(x, y), *tost_gaps(x, y), *phi_gaps(rng)]
    worst = float(max(gaps))
    text = f"ICC {', '.join(f'{one:.2f}' for one in got)}; CCC, Bland-Altman, TOST and phi within {worst:.1e}"
    return text, tuple(got) == PUBLISHED_ICC and worst <= 1e-10


def concordance_gaps(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Lin's coefficient as 1 less the mean squared distance over its value for independent measures."""
    wanted = 1 - ((x - y) ** 2).mean() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    found = stats.concordance(x, y)
    return [abs(found.estimate - wanted), abs(found.r * found.bias - wanted)]


def bland_altman_gaps(x: np.ndarray, y: np.ndarray) -> list[float]:
    d, n = x - y, len(x)
    sd = math.sqrt(((d - d.mean()) ** 2).sum() / (n - 1))
    found = stats.limits(x, y)
    m = (x + y) / 2
    slope = ((m - m.mean()) * d).sum() / ((m - m.mean()) ** 2).sum()
    se = sd * math.sqrt(1 / n + 1.959963984540054**2 / (2 * (n - 1)))
    wanted = (d.mean(), d.mean() - 1.959963984540054 * sd, d.mean() + 1.959963984540054 * sd, slope, se)
    return [abs(a - b) for a, b in zip((found.bias, found.low, found.high, found.slope, found.limit_se), wanted)]


def tost_gaps(x: np.ndarray, y: np.ndarray) -> list[float]:
    d, n, margin = x - y, len(x), 0.5
    se = d.std(ddof=1) / math.sqrt(n)
    above = scipy_stats.t.sf((d.mean() + margin) / se, n - 1)
    below = scipy_stats.t.cdf((d.mean() - margin) / se, n - 1)
    found = stats.equivalence(x, y, margin=margin)
    half = scipy_stats.t.ppf(0.95, n - 1) * se
    inside = -margin < d.mean() - half and d.mean() + half < margin
    return [abs(found.p - max(above, below)), abs(found.low - d.mean() + half), float(found.equivalent != inside)]


def phi_gaps(rng: np.random.Generator) -> list[float]:
    """Phi is the cosine of two columns; a configuration turned and mirrored is congruent with itself."""
    a, b = rng.standard_normal((2, 10, 2))
    wanted = [a[:, i] @ b[:, i] / (np.linalg.norm(a[:, i]) * np.linalg.norm(b[:, i])) for i in range(2)]
    turn, _ = np.linalg.qr(rng.standard_normal((2, 2)))
    back = stats.tucker(stats.turned(a @ turn, a), a)
    return [*np.abs(stats.tucker(a, b) - wanted), *np.abs(back - 1)]


# --- 12: smooth profiles ---------------------------------------------------------------------------------------------


def profiles(quick: bool) -> tuple[str, bool]:
    """Test pairs of unrelated profiles: on a circle at w = .5, .7 and .9, and of two people; and related ones."""
    pairs, rates, naive = (300 if quick else 1500), {}, {}
    rng = np.random.default_rng(0)
    even = np.arange(10) * 2 * np.pi / 10
    for name, turn in (("ten places", even), ("nine wedges", np.deg2rad(ANGLES))):
        for w in (0.5, 0.7, 0.9):
            root = np.linalg.cholesky(w * np.cos(turn[:, None] - turn) + (1 - w) * np.eye(10) + 1e-9 * np.eye(10))
            drawn = rng.standard_normal((pairs, 2, 10)) @ root.T
            naive[name, w], rates[name, w] = rejected(drawn)
    people = humans()
    naive["people", 0.0], rates["people", 0.0] = rejected(people[rng.integers(len(people), size=(pairs, 2))])
    shared = (
        rng.standard_normal((pairs // 3, 1, 10)) @ np.linalg.cholesky(np.array(HUMAN_COVARIANCE) + 0.01 * np.eye(10)).T
    )
    power = rejected(shared + 0.3 * rng.standard_normal((pairs // 3, 2, 10)))[1]
    at = [rates[name, 0.7] for name in ("ten places", "nine wedges")]
    plain = [naive[name, 0.7] for name in ("ten places", "nine wedges")]
    text = (
        f"w = .7: naive {plain[0]:.3f} on ten places, {plain[1]:.3f} on nine wedges; toolkit {at[0]:.3f}, {at[1]:.3f}; "
        f"toolkit at most {max(rates.values()):.3f} over w = .5, .7, .9 and pairs of people (naive up to "
        f"{max(naive.values()):.3f}); finds {power:.2f} of pairs that share most of their profile"
    )
    return text, min(plain) >= 0.18 and max(rates.values()) <= 0.065 and power > 0.5


def rejected(drawn: np.ndarray) -> tuple[float, float]:
    """Return the share of pairs that the textbook test calls alike, and that the toolkit does."""
    rho = [abs(float(np.asarray(scipy_stats.spearmanr(x, y)[0]))) >= NAIVE for x, y in drawn]
    p = [
        stats.profile_test(
            x, y, np.array(ANGLES), covariance=np.array(HUMAN_COVARIANCE), draws=199, seed=seed
        ).p
        for seed, (x, y) in enumerate(drawn)
    ]  # fmt: skip
    return float(np.mean(rho)), float(np.mean(np.array(p) <= 0.05))


# --- independent libraries -------------------------------------------------------------------------------------------


def libraries(quick: bool) -> tuple[str, bool]:
    """Compare every statistic with a library nobody here wrote."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import audmetric
            import pingouin
            import rthor as reference
    except ImportError as error:
        raise Absent(f"{error.name} is not installed; it comes with the dev extra") from None
    rng = np.random.default_rng(1)
    gaps = {"RTHOR": rthor_gap(reference), "ICC": icc_gap(pingouin, rng)}
    ccc, tost, phi = [], [], []
    for _ in range(5 if quick else 30):
        x = rng.normal(3.5, 1.2, 40)
        y = 0.8 * x + rng.normal(0.5, 0.6, 40)
        ccc.append(abs(stats.concordance(x, y).estimate - audmetric.concordance_cc(x, y)))
        tost.append(
            abs(
                stats.equivalence(x, y, margin=0.4).p
                - float(pingouin.tost(x, y, bound=0.4, paired=True)["pval"].iloc[0])
            )
        )
        phi.append(phi_gap(rng))
    gaps |= {"CCC": max(ccc), "TOST": max(tost), "Tucker": max(phi)}
    text = ", ".join(f"{name} within {gap:.1e}" for name, gap in gaps.items())
    return f"{text} (rthor, pingouin, audmetric, pingouin, scikit-learn)", max(gaps.values()) <= 1e-8


def rthor_gap(reference) -> float:
    """Compare index, predictions and p with rthor on the published example."""
    told = reference.test(np.stack([full(one) for one in RIASEC], axis=2), order="circular6")
    mine = [stats.correspondence(full(one), seed=0) for one in RIASEC]
    return max(
        float(np.abs(np.array([getattr(one, name) for one in mine]) - told[column].to_numpy(dtype=float)).max())
        for name, column in (
            ("index", "ci"),
            ("n_predictions", "predictions"),
            ("n_met", "agreements"),
            ("p", "p_value"),
        )
    )


def icc_gap(pingouin, rng: np.random.Generator) -> float:
    """Compare six coefficients, and their intervals to the two digits pingouin gives, on three tables."""
    import pandas as pd

    gaps = []
    for table in (
        np.array(SHROUT_FLEISS, dtype=float),
        *(rng.normal(size=(n, 1)) + rng.normal(size=(n, 3)) for n in (12, 30)),
    ):
        long = pd.DataFrame([(i, j, table[i, j]) for i, j in np.ndindex(table.shape)], columns=["target", "rater", "x"])
        told = pingouin.intraclass_corr(long, "target", "rater", "x")
        gaps += list(np.abs(told["ICC"].to_numpy() - np.array(astuple(stats.icc(table)))))
        ends = np.array([(one.low, one.high) for one in vars(stats.icc_intervals(table)).values()])
        gaps.append(float(np.abs(np.stack(told["CI95"].to_list()) - ends).max() > 0.0051))
    return float(max(gaps))


def phi_gap(rng: np.random.Generator) -> float:
    from sklearn.metrics.pairwise import cosine_similarity

    a, b = rng.standard_normal((2, 10, 3))
    return float(np.abs(stats.tucker(a, b) - np.diag(cosine_similarity(a.T, b.T))).max())


CHECKS = (
    ("criterion 9: circle",
     "Circle: random activations + jointly shuffled VP labels must give CI in .50-.70 (inheritance reproduced) while "
     "the toolkit's corrected test rejects <=.065.", circle),
    ("criterion 10: RTHOR",
     "RTHOR: rthor example CI .653/.486/.597, p .0167/.0333/.0167 exactly; 800 predictions for 10 values; human PVQ-21 "
     "CI .665+-.001.", rthor),
    ("criterion 11: ICC",
     "ICC on Shrout-Fleiss: ICC(1,1)=.17,(2,1)=.29,(3,1)=.71,(1,4)=.44,(2,4)=.62,(3,4)=.91 [M]; CCC/BA/TOST/phi "
     "against closed forms 1e-10.", absolute),
    ("criterion 12: profiles",
     "Profile test: unrelated smooth profiles (w=.7): naive >=.18 false positives (reference .23), toolkit <=.065.",
     profiles),
    ("independent libraries",
     "RTHOR, ICC (Shrout-Fleiss), CCC, TOST, Tucker against published or closed-form values and against an independent "
     "library.", libraries),
)  # fmt: skip
"""Name, target and function of every row."""
