"""Claims about reading and acting stand where they are planted, and are refused with the reason where they are not."""

import dataclasses
import math

import numpy as np
import pytest
from vprobe import claims, directions, splits
from vprobe.claims import Level
from vprobe.claims import reading as reading_claims
from vprobe.claims.reading import Reading
from vprobe.errors import RefusedError
from vprobe.types import Agreement, DoseRow

VALUES = ("power", "security", "tradition")
STERN, QUICK = Level(0.001, 2000, 0), Level(0.05, 199, 0)


def reading(x, y, size=5, *, method="covariance", site="resid_post.3", values=VALUES):
    groups = tuple(f"q{i // size:03d}" for i in range(len(y)))
    return Reading(x, y, groups, splits.by_group(groups, seed=0), values, method, site)


def world(seed, strengths, *, queries=60, query=0.0, d=16, **named):
    """Return a reading whose activations hold each value this strongly; query is the size of shared query means."""
    rng = np.random.default_rng(seed)
    n, k = 5 * queries, len(strengths)
    axes = np.linalg.qr(rng.standard_normal((d, k)))[0].T
    y, shared = rng.standard_normal((n, k)), query * np.repeat(rng.standard_normal((queries, k)), 5, axis=0)
    x = (y * np.array(strengths) + shared) @ axes + rng.standard_normal((n, d))
    return reading(x, y + shared, values=VALUES[:k], **named)


# Level.


def test_a_level_refuses_so_few_draws_that_nothing_could_reach_it():
    with pytest.raises(RefusedError, match=r"998 draws for alpha 0.001[\s\S]*claim_draws to 2000"):
        Level(0.001, 998, 0)
    assert Level(0.001, 999, 0).draws == 999 and Level(0.05, 19, 0).alpha == 0.05
    for alpha in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(RefusedError, match="draws for alpha"):
            Level(alpha, 10_000, 0)


# Decodable.


@pytest.mark.parametrize("method", ["covariance", "partial"])
def test_planted_values_are_decodable_and_the_one_that_is_not_is_refused(method):
    read = world(0, (1.0, 0.0, 1.0), method=method)
    found = claims.decodable(read, STERN)
    assert [row.made for row in found.rows] == [True, False, True]
    assert [row.value for row in found.rows] == list(VALUES)
    for row in (found.rows[0], found.rows[2]):
        assert row.reason == "" and row.p == pytest.approx(1 / 2001) and row.estimate > 0.4
        assert (row.claim, row.alpha, row.draws, row.n) == ("decodable", 0.001, 2000, 300)
        assert (row.method, row.site) == (method, "resid_post.3")
    assert "is what shuffled labels give" in found.rows[1].reason and found.rows[1].p > 0.001
    expected = directions.held_out(read.x, read.y, read.groups, read.folds, method=method, seed=0)
    np.testing.assert_allclose(found.scores, expected, atol=1e-9)
    np.testing.assert_allclose(claims.held_out(read, 0).scores, expected, atol=1e-9)


def test_chunks_of_null_draws_change_nothing(monkeypatch):
    read = world(1, (0.3, 0.2, 0.0))
    whole = claims.decodable(read, QUICK)
    monkeypatch.setattr("vprobe.claims.reading.CHUNK", 7)
    again = claims.decodable(read, QUICK)
    np.testing.assert_allclose(again.scores, whole.scores, atol=1e-9)
    assert [(row.made, row.p) for row in again.rows] == [(row.made, row.p) for row in whole.rows]


def test_drawing_stops_early_only_where_no_further_draw_could_change_the_decision(monkeypatch):
    level = Level(0.05, 999, 0)
    mixed, null = world(1, (0.3, 0.2, 0.0)), world(2, (0.0, 0.0, 0.0))
    short = [claims.decodable(read, level).rows for read in (mixed, null)]
    monkeypatch.setattr("vprobe.claims.reading.ENOUGH", 10**6)
    whole = [claims.decodable(read, level).rows for read in (mixed, null)]
    assert [[row.made for row in rows] for rows in short] == [[row.made for row in rows] for rows in whole]
    assert {row.draws for row in short[0]} == {999} and {row.draws for row in whole[1]} == {999}
    assert {row.draws for row in short[1]} < {250, 500, 750}
    for one, other in zip(short[1], whole[1], strict=True):
        assert one.p == pytest.approx(other.p, rel=0.35) and one.p > 0.05


def test_random_labels_are_called_decodable_in_no_more_than_alpha_of_studies():
    false = 0
    for seed in range(80):
        read = world(seed, (0.0, 0.0, 0.0), queries=30, query=1.0, d=8)
        false += any(row.made for row in claims.decodable(read, Level(0.05, 39, seed)).rows)
    assert false <= 9


def test_labels_that_only_tell_queries_apart_are_refused_as_a_query_leak():
    rng = np.random.default_rng(2)
    shared = np.repeat(rng.standard_normal((104, 3)), 5, axis=0)
    x = 3 * shared @ rng.standard_normal((3, 16)) + rng.standard_normal((520, 16))
    y = shared + 0.3 * rng.standard_normal((520, 3))
    for row in claims.decodable(reading(x, y), STERN).rows:
        assert not row.made and row.reason.startswith("query leak: 9") and abs(row.estimate) < 0.2
        promised = float(row.reason.partition("would give r = ")[2][:4])
        assert promised > 0.7
    free = claims.decodable(world(2, (0.0, 0.0, 0.0), query=0.3), QUICK)
    assert not any("leak" in row.reason for row in free.rows)


def test_labels_that_do_not_vary_within_queries_are_refused_as_such_and_leave_the_others_alone():
    read = world(3, (1.0, 1.0, 1.0))
    y = read.y.copy()
    y[:, 1] = np.repeat(np.linspace(-0.3, 0.7, 60), 5)
    found = claims.decodable(dataclasses.replace(read, y=y), STERN)
    assert [row.made for row in found.rows] == [True, False, True]
    assert "do not vary within queries" in found.rows[1].reason and math.isnan(found.rows[1].p)


def test_unknown_labels_are_left_out_and_counted():
    read = world(4, (1.0, 1.0, 1.0))
    y = read.y.copy()
    y[:20, 0] = np.nan
    rows = claims.decodable(dataclasses.replace(read, y=y), STERN).rows
    assert [(row.made, row.n) for row in rows] == [(True, 280), (True, 300), (True, 300)]


def test_a_value_held_at_another_site_is_refused_here_with_the_address():
    here = world(5, (1.0, 0.0, 0.0))
    rng = np.random.default_rng(5)
    x = here.y[:, [1]] * rng.standard_normal(16) + rng.standard_normal((300, 16))
    there = dataclasses.replace(here, x=x, site="resid_post.7")
    nowhere = dataclasses.replace(here, x=rng.standard_normal((300, 16)), site="resid_post.0")
    rows = claims.decodable(here, STERN, others=(nowhere, there)).rows
    assert [row.made for row in rows] == [True, False, False]
    assert "not at resid_post.3, but decodable at another site: resid_post.7 (r = 0." in rows[1].reason
    assert "resid_post.0" not in rows[1].reason and "another site" not in rows[2].reason


# Beyond the text.


def with_length(seed, *, own, by_length=1.0, words=0.0):
    """Labels follow length, words seen by a text model, and something of their own; activations hold all three."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((3, 300, 1))
    length, word, rest = parts + np.repeat(rng.standard_normal((3, 60, 1)), 5, axis=1)
    y = by_length * length + words * word + own * rest + 0.7 * rng.standard_normal((300, 1))
    x = np.hstack([length, word, rest]) @ rng.standard_normal((3, 16)) + 0.7 * rng.standard_normal((300, 16))
    lengths = np.column_stack([3 * length + 20, 17 * length + rng.standard_normal((300, 1))])
    return reading(x, y, values=VALUES[:1], method="ridge"), lengths, word


def beyond(given, level=STERN, *, seen=False):
    read, lengths, word = given
    decoded = claims.decodable(read, level)
    assert decoded.rows[0].made
    words = word if seen else np.zeros(read.y.shape)
    return claims.beyond_text(decoded, read, level, lengths=lengths, words=words)[0]


def test_labels_that_follow_length_are_refused_as_length():
    row = beyond(with_length(6, own=0.0))
    assert not row.made and row.reason.startswith("length of the text explain")
    assert abs(row.estimate) < 0.2 and row.p > 0.001
    assert (row.claim, row.draws, row.n) == ("beyond text", 2000, 300)


def test_labels_with_something_of_their_own_are_beyond_length_and_words():
    row = beyond(with_length(7, own=1.0, words=1.0), seen=True)
    assert row.made and row.reason == "" and row.estimate > 0.3 and row.p == pytest.approx(1 / 2001)


def test_labels_that_follow_words_are_refused_as_words_only_when_the_words_are_given():
    given = with_length(8, own=0.0, by_length=0.0, words=1.0)
    row = beyond(given, seen=True)
    assert not row.made and row.reason.startswith("words and length of the text explain")
    assert beyond(given).made


def test_what_only_misses_the_level_is_not_called_chance_nor_explained_by_the_text():
    read, lengths, _ = with_length(8, own=0.25, by_length=0.0)
    decoded = claims.decodable(read, STERN)
    (row,) = claims.beyond_text(decoded, read, STERN, lengths=lengths, words=np.zeros(read.y.shape))
    for one in (row, decoded.rows[0]):
        assert not one.made and 0.001 < one.p < 0.01
        assert "is not beyond shuffled labels at the level of 0.001 (family p = 0.0015)" in one.reason
        assert "explain" not in one.reason and "give" not in one.reason


def test_a_label_not_known_is_left_out_of_what_is_beyond_text():
    read, lengths, word = with_length(9, own=1.0)
    read.y[:30] = np.nan
    row = beyond((dataclasses.replace(read, method="covariance"), lengths, word), QUICK)
    assert row.made and row.n == 270


# Agreement over conditions.


def agreement_row(estimate, p, *, level="condition", value="all"):
    return Agreement(
        level, "probe~behavior", value, "r over conditions", estimate, -1.0, 1.0, 0.0, -0.2, 0.2, p, math.nan,
        30, 0, 30, site="resid_post.3", method="partial",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("estimate", "p", "made"),
    [(0.6, 0.0005, True), (0.6, 0.001, True), (0.1, 0.3, False), (0.6, 0.0011, False), (-0.6, 0.0005, False),
     (math.nan, math.nan, False)],
)  # fmt: skip
def test_agreement_is_claimed_when_positive_and_beyond_shuffled_conditions(estimate, p, made):
    others = [agreement_row(0.9, 0.0001, value="power"), agreement_row(0.9, 0.0001, level="profile")]
    (row,) = claims.agrees([*others, agreement_row(estimate, p)], STERN)
    assert row.made is made and (row.reason == "") is made
    assert (row.claim, row.value, row.n, row.method, row.site) == ("agrees", "all", 30, "partial", "resid_post.3")
    assert made or "over 30 conditions" in row.reason
    said = {0.0011: "is not beyond shuffled ones at the level of 0.001", 0.3: "is what shuffled ones give"}.get(p, "")
    moves = {0.0011: "is not shown to move", 0.3: "does not move"}.get(p, "moves against" if estimate < 0 else "")
    assert said in row.reason and moves in row.reason  # too weak for the level is not the same as nothing there
    assert claims.agrees(others, STERN) == ()


# Causation.

DOSES = (-0.5, -0.25, 0.25, 0.5)
OTHERS = ("random", "isotropic", "orthogonal", "other", "acquiescence", "prompted")
"""Arms no claim rests on."""


MILD = (0.01, -0.02) * 10
"""What twenty vectors of shuffled labels do, outward."""


def sweep(effects, p=0.0001, *, shuffled=MILD, shift=0.0, value="power", doses=DOSES):
    """Return the rows of a sweep: the effect at each dose, and what each vector of shuffled labels does outward."""
    base = dict(value=value, site="resid_post.2", positions="all", coefficient=1.0, low=0.0, high=0.0)
    base |= dict(option_mass=1.0, n_items=60, n_unscored=0)
    rows = [DoseRow(arm="baseline", draw=0, strength=0.0, effect=0.0, mean_shift=0.0, **base)]
    for dose, effect in zip(doses, effects, strict=True):
        rows.append(DoseRow(arm="steered", draw=0, strength=dose, effect=effect, mean_shift=shift, p=p, **base))
    for draw, reach in enumerate(shuffled):
        rows += [
            DoseRow(arm=arm, draw=draw, strength=dose, effect=size * math.copysign(1, dose), mean_shift=0.0, **base)
            for dose in (doses[0], doses[-1])
            for arm, size in (("shuffled", reach), *((arm, 9.0) for arm in OTHERS))
        ]
    return rows


GOOD = (-0.4, -0.2, 0.2, 0.4)


def causal(rows, **named):
    return claims.causal(rows, STERN, method="partial", **named)


def test_a_direction_that_moves_ratings_with_the_labels_both_ways_is_causal():
    (row,) = causal(sweep(GOOD))
    assert row.made and row.reason == "" and row.estimate == pytest.approx(0.4) and row.p == 0.0001
    assert (row.claim, row.value, row.n, row.method, row.site) == ("causal", "power", 60, "partial", "resid_post.2")
    assert causal(sweep((-0.4, 5.0, -5.0, 0.4)))[0].made, "only the outermost doses count"


@pytest.mark.parametrize(
    "effects", [(0.4, 0.2, 0.2, 0.4), (-0.4, -0.2, -0.2, -0.1), (0.4, 0.2, -0.2, -0.4), (0.0, 0.0, 0.0, 1.0)]
)
def test_an_effect_that_does_not_change_sign_with_the_dose_is_not_causal(effects):
    (row,) = causal(sweep(effects))
    assert not row.made and "ratings follow the label by" in row.reason


@pytest.mark.parametrize("way", [1, -1])
def test_doses_of_one_sign_cannot_show_that_the_effect_turns_with_them(way):
    doses = tuple(sorted(way * dose for dose in (0.1, 0.2, 0.3, 0.5)))
    (row,) = causal(sweep(tuple(0.8 * dose for dose in doses), doses=doses))
    assert not row.made and row.reason.startswith("doses of one sign only")


def test_ratings_that_all_move_alike_are_acquiescence():
    (row,) = causal(sweep((-0.02, -0.01, 0.01, 0.02), 0.4, shift=0.8), decodable=("power",))
    assert not row.made and row.reason.startswith("acquiescence: all ratings move by +0.80 alike")
    assert "for and against power" in row.reason
    assert causal(sweep(GOOD, shift=0.3))[0].made, "a yes-bias beside a causal effect does no harm"
    assert "acquiescence" not in causal(sweep((-0.02, 0.0, 0.0, 0.02), 0.4, shift=0.05))[0].reason


def test_a_value_read_but_not_written_is_decodable_not_causal():
    rows = sweep((-0.01, 0.0, 0.0, 0.01), 0.6)
    assert causal(rows, decodable=("power",))[0].reason.startswith("decodable, not causal: ratings follow")
    (row,) = causal(rows, decodable=("security",))
    assert not row.made and row.reason.startswith("ratings follow the label by 0.010 points per SD (p = 0.6")


def test_vectors_of_shuffled_labels_must_be_tried_and_must_not_reach_as_far():
    for reach in (0.5, -0.5, 0.4):
        (row,) = causal(sweep(GOOD, shuffled=(*MILD, reach)))
        assert not row.made and f"vectors of shuffled labels reach {abs(reach):.3f}" in row.reason
    assert "no shuffled labels were tried" in causal(sweep(GOOD, shuffled=()))[0].reason
    assert "no shuffled labels were tried" in causal(sweep(GOOD, shuffled=(math.nan,)))[0].reason
    assert not causal(sweep(GOOD, shuffled=(*MILD, math.nan, 0.5)))[0].made
    assert causal(sweep(GOOD, shuffled=(*MILD, math.nan, 0.3)))[0].made


@pytest.mark.parametrize("shuffled", [(), MILD[:1], MILD[:19], (*MILD[:19], math.nan)])
def test_a_causal_claim_asks_for_twenty_vectors_of_shuffled_labels(shuffled):
    (row,) = causal(sweep(GOOD, shuffled=shuffled), decodable=("power",))
    assert not row.made and "decodable, not causal: not enough" not in row.reason
    if shuffled:
        n = sum(map(math.isfinite, shuffled))
        assert row.reason.startswith(
            f"not enough null vectors: {n} of shuffled labels were tried, at least 20 are asked"
        )
    assert causal(sweep(GOOD, shuffled=MILD))[0].made
    (row,) = causal(sweep((-0.01, 0.0, 0.0, 0.01), 0.6, shuffled=MILD[:2]), decodable=("power",))
    assert row.reason.startswith("decodable, not causal: ratings follow"), "what fails otherwise says why"


def test_both_outermost_doses_must_reach_the_level_and_values_are_one_family():
    rows = sweep(GOOD, 0.0004)
    weak = [dataclasses.replace(row, p=0.2) if row.strength == -0.5 and row.arm == "steered" else row for row in rows]
    assert causal(rows)[0].made and not causal(weak)[0].made
    three = [row for value in VALUES for row in sweep(GOOD, 0.0004, value=value)]
    assert [(row.made, row.p) for row in causal(three)] == [(False, pytest.approx(0.0012))] * 3
    three = [row for value in VALUES for row in sweep(GOOD, 0.0003, value=value)]
    assert all(row.made for row in causal(three))
    assert not causal(sweep(GOOD, math.nan))[0].made
    half = [dataclasses.replace(r, p=math.nan) if r.strength == 0.5 and r.arm == "steered" else r for r in rows]
    assert not causal(half)[0].made and math.isnan(causal(half)[0].p)
    assert causal([row for row in rows if row.arm == "baseline"]) == ()


def mentioned(seed: int) -> Reading:
    """Activations that say which values a text mentions, and labels whose sign no activation tells."""
    rng = np.random.default_rng(seed)
    said = (rng.random((300, 3)) < 0.15).astype(float)
    x = np.column_stack([said, 0.3 * rng.standard_normal((300, 5))])
    y = said * rng.choice((-1.0, 1.0), size=said.shape) + 0.05 * rng.standard_normal(said.shape)
    groups = tuple(f"q{i // 5}" for i in range(300))
    folds = splits.by_group(groups, seed=0)
    return Reading(x, y, groups, folds, ("power", "hedonism", "security"), "covariance", "resid_post.0")


def test_a_mention_that_tells_no_sign_is_not_decodable_though_shuffled_labels_alone_would_say_so(monkeypatch) -> None:
    def rate() -> float:
        found = [claims.decodable(mentioned(seed), Level(0.05, 60, seed)).rows for seed in range(60)]
        return float(np.mean([any(row.made for row in rows) for rows in found]))

    assert rate() <= 0.12  # at most 7 of 60 at .05: p < .02 when the level holds
    monkeypatch.setattr(reading_claims, "NULLS", reading_claims.NULLS[:1])
    assert rate() >= 0.2
