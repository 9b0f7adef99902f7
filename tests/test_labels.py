"""Labels come out of the raw ratings exactly, noise is told from signal, and differences are listed."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from vprobe import benchmarks, labels, values
from vprobe.errors import InputError
from vprobe.labels import _noise, _raw

CIRCLE = values.SCHWARTZ


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """Read the official data once: they are frozen, and checked shapes make reading slow here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmarks, "load", functools.cache(benchmarks.load))
        yield


@pytest.fixture(scope="module")
def official(shared):
    return shared / "value_portrait" / "upstream"


@pytest.fixture(scope="module")
def made(official):
    return {kind: labels.regenerate(official, kind=kind) for kind in labels.KINDS}


@pytest.fixture(scope="module")
def differences(official):
    return {repaired: labels.diff(official, repaired=repaired) for repaired in (False, True)}


def ten(found, attribute="estimate"):
    return np.array([getattr(one, attribute) for one in found.reliability[:10]])


def test_as_shipped_all_labels_but_those_of_one_rater_group_are_exact(differences):
    found = differences[False]
    assert len(found.rows) == 9880 and len(found.rows) - len(found.different) == 9282
    assert {row.rater_group for row in found.different} == {0}
    moved = {one.family: one for one in found.summary if one.rater_group == 0}
    assert {name: one.n - one.n_exact for name, one in moved.items()} == {"pvq": 398, "higher_pvq": 120, "bfi": 80}
    assert {name: one.n_tags_moved for name, one in moved.items()} == {"pvq": 7, "higher_pvq": 2, "bfi": 1}
    assert moved["pvq"].largest == pytest.approx(0.125, abs=0.0005)
    assert len(found.summary) == 36


def test_with_the_second_profile_every_label_is_exact(differences):
    found = differences[True]
    assert found.different == () and len(found.rows) == 9880
    assert max(abs(row.difference) for row in found.rows) < 1e-14


def test_an_untrue_second_profile_would_show(official, monkeypatch):
    monkeypatch.setattr(_raw, "_SECOND_TRAITS", (("extraversion", 5.0), *_raw._SECOND_TRAITS[1:]))
    wrong = labels.diff(official, repaired=True).different
    assert {row.value for row in wrong} == {"extraversion"} and len(wrong) == 40


def test_p_values_are_the_published_ones_too(official, made):
    fresh = labels.regenerate(official, repaired=True)
    np.testing.assert_allclose(fresh.p, made["published"].p, atol=1e-14)
    np.testing.assert_allclose(fresh.r, made["published"].r, atol=1e-14)


def test_group_centred_reliabilities_are_the_known_ones_and_higher_than_plain(made):
    known = [0.37, 0.38, 0.26, 0.30, 0.33, 0.48, 0.40, 0.22, 0.23, 0.17]
    np.testing.assert_allclose(ten(made["group-centred"]), known, atol=0.03)
    assert (ten(made["group-centred"]) > ten(made["regenerated"]) - 0.01).all()
    estimates = [one.estimate for one in made["group-centred"].reliability]
    assert len(estimates) == 19 and np.isfinite(estimates).all()


def test_plain_reliability_is_the_one_the_benchmark_reports(official, made):
    theirs = [one for one in benchmarks.load("value-portrait", folder=official).reliability if not one.within]
    mine = made["published"].reliability
    assert [one.value for one in mine] == [one.value for one in theirs]
    np.testing.assert_allclose([one.estimate for one in mine], [one.estimate for one in theirs], atol=1e-9)


def test_shrinking_raises_the_ceiling_of_every_value_as_known(made):
    known = [0.73, 0.68, 0.56, 0.63, 0.68, 0.74, 0.72, 0.67, 0.57, 0.56]
    np.testing.assert_allclose(ten(made["shrunk"], "ceiling"), known, atol=0.015)
    assert (ten(made["shrunk"], "ceiling") > ten(made["group-centred"], "ceiling")).all()
    np.testing.assert_allclose(ten(made["shrunk"], "ceiling") ** 2, ten(made["shrunk"]))


def test_ipsatised_labels_have_the_known_number_of_tags_per_value(made):
    known = dict(
        universalism=48, benevolence=43, conformity=13, tradition=19, security=23, power=26, achievement=30,
        hedonism=17, stimulation=18, self_direction=32,
    )  # fmt: skip
    tags = (made["ipsatised"].r[:, :10] > 0.3).sum(axis=0)
    np.testing.assert_allclose(tags, [known[value] for value in CIRCLE], atol=1)


def test_group_centred_labels_have_no_group_means_and_plain_ones_do(made):
    def means(kind):
        found = made[kind]
        return np.array([found.r[found.groups == one].mean(axis=0) for one in range(12)])

    assert np.abs(means("group-centred")).max() < 1e-12
    assert np.abs(means("regenerated")).max() > 0.1


def test_norms_of_the_people_are_the_known_ones(official):
    known = dict(
        benevolence=(0.590, 0.80), universalism=(0.548, 0.82), self_direction=(0.532, 0.78), security=(0.336, 0.83),
        tradition=(0.082, 0.82), hedonism=(-0.316, 0.93), stimulation=(-0.388, 0.95), conformity=(-0.403, 1.03),
        achievement=(-0.530, 0.94), power=(-0.727, 0.95),
    )  # fmt: skip
    found = labels.pvq_norms(official)
    assert [one.value for one in found] == list(CIRCLE) and {one.n for one in found} == {569}
    for one in found:
        assert one.mean == pytest.approx(known[one.value][0], abs=0.0006)
        assert one.sd == pytest.approx(known[one.value][1], abs=0.006)


def simulated(seed, signal):
    """Return labels of made-up groups: items whose ratings follow (or not) a trait of theirs."""
    rng = np.random.default_rng(seed)
    ranked = []
    for block in range(12):
        scores = rng.standard_normal((46, 3))
        ratings = signal * rng.standard_normal((40, 3)) @ scores.T + rng.standard_normal((40, 46))
        ranked.append(_noise.rank(ratings, scores, np.arange(40) + 40 * block))
    r = np.concatenate([one.labels for one in ranked])
    cluster = np.repeat(np.arange(12), 40)
    centred = _noise.centred(r, cluster, np.ones(480, dtype=bool))
    return ranked, centred, cluster


def test_labels_of_pure_chance_have_no_reliability_and_shrink_to_nothing():
    shares, sizes = [], []
    for seed in range(6):
        ranked, centred, cluster = simulated(seed, 0.0)
        noise, observed = _noise.covariance(ranked, cluster), centred.T @ centred / len(centred)
        shares.append(1 - np.diag(noise) / np.diag(observed))
        sizes.append(np.var(centred @ _noise.shrinkage(observed, noise)[0].T) / np.var(centred))
    assert abs(np.mean(shares)) < 0.03 and np.mean(sizes) < 0.03


def test_labels_with_signal_are_reliable_and_shrinking_brings_them_nearer_the_truth():
    rng = np.random.default_rng(3)
    ranked, true = [], []
    for block in range(12):
        scores, weights = (
            rng.standard_normal((46, 3)),
            0.3 * rng.standard_normal((40, 1)) @ np.array([[1.0, 0.9, -0.8]]),
        )
        ratings = weights @ scores.T + rng.standard_normal((40, 46))
        ranked.append(_noise.rank(ratings, scores, np.arange(40) + 40 * block))
        true.append(weights)
    r, true, cluster = (
        np.concatenate([one.labels for one in ranked]),
        np.concatenate(true),
        np.repeat(np.arange(12), 40),
    )
    centred = _noise.centred(r, cluster, np.ones(480, dtype=bool))
    noise, observed = _noise.covariance(ranked, cluster), centred.T @ centred / 480
    matrix, share = _noise.shrinkage(observed, noise)
    before = [np.corrcoef(centred[:, i], true[:, i])[0, 1] for i in range(3)]
    after = [np.corrcoef((centred @ matrix.T)[:, i], true[:, i])[0, 1] for i in range(3)]
    assert (np.array(after) > np.array(before) + 0.02).all()
    np.testing.assert_allclose(np.square(after), share, atol=0.06)
    np.testing.assert_allclose(np.square(before), 1 - np.diag(noise) / np.diag(observed), atol=0.06)


def test_chance_covariance_in_closed_form_is_what_shuffling_people_gives(official):
    groups = _raw.groups(official, repaired=False)[:2]
    rows = [np.arange(40), np.arange(40, 80)]
    cluster = np.repeat([0, 1], 40)
    exact = _noise.covariance([_noise.rank(g.ratings, g.scores, at) for g, at in zip(groups, rows)], cluster)
    rng, drawn = np.random.default_rng(0), np.zeros_like(exact)
    for _ in range(150):
        r = np.concatenate([_noise.rank(g.ratings, rng.permutation(g.scores), np.arange(40)).labels for g in groups])
        centred = _noise.centred(r, cluster, np.ones(80, dtype=bool))
        drawn += centred.T @ centred / 80 / 150
    np.testing.assert_allclose(np.diag(drawn), np.diag(exact), rtol=0.1)
    assert np.corrcoef(drawn.ravel(), exact.ravel())[0, 1] > 0.99


def test_what_is_fitted_on_some_items_does_not_look_at_the_others(official, made, monkeypatch):
    whole = made["shrunk"]
    mine = (whole.groups < 8) & np.array([int(name[3]) % 2 == 0 for name in whole.item_ids])  # half the queries of 8
    train = tuple(np.array(whole.item_ids)[mine].tolist())
    first = labels.regenerate(official, kind="shrunk", fit_items=train)
    assert not np.allclose(first.r, whole.r)
    real = _raw.groups

    def spoiled(folder, *, repaired):
        rng, out = np.random.default_rng(0), []
        for group in real(folder, repaired=repaired):
            kept = np.array([name in train for name in group.item_ids])[:, None]
            out.append(replace(group, ratings=np.where(kept, group.ratings, rng.permuted(group.ratings, axis=1))))
        return tuple(out)

    monkeypatch.setattr(_raw, "groups", spoiled)
    second = labels.regenerate(official, kind="shrunk", fit_items=train)
    np.testing.assert_allclose(first.r[mine], second.r[mine], atol=1e-12)
    for one, other in zip(first.reliability, second.reliability, strict=True):
        assert one.estimate == pytest.approx(other.estimate, abs=1e-12)
    assert not np.allclose(first.r[~mine], second.r[~mine])


def test_labels_stand_in_the_order_of_the_benchmark_and_serve_as_scores(official, made):
    benchmark = benchmarks.load("value-portrait", folder=official)
    found = made["regenerated"]
    assert found.item_ids == tuple(item.id for item in benchmark.items) and found.values == benchmark.values
    assert [str(one) for one in found.groups] == [item.block for item in benchmark.items]
    scores = made["shrunk"].scores()
    assert scores.kind == "label" and "shrunk" in scores.unit
    assert np.isnan(made["shrunk"].p).all() and np.isfinite(made["ipsatised"].p).all()


def test_what_cannot_be_made_is_refused_with_the_reason(official):
    with pytest.raises(InputError, match=r"unknown kind of label 'shrunken'[\s\S]*did you mean 'shrunk'"):
        labels.regenerate(official, kind="shrunken")
    with pytest.raises(InputError, match="1 unknown items, first '1-1'"):
        labels.regenerate(official, fit_items=("1-1", "1003-1"))
    with pytest.raises(InputError, match="2 items to fit on"):
        labels.regenerate(official, fit_items=("1003-1", "1003-2"))
