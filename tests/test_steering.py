"""Every steering operation keeps the contract, unasked, and does what its formula says; gates, probes, directions."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from vprobe import registry, steering
from vprobe.errors import InputError, RefusedError
from vprobe.steering import Given
from vprobe.types import CONFLICTS, Direction, Gate, Operation, Probe, Site, Steering, from_token, per_row

WIDTH, HEADS = 12, 4
RNG = np.random.default_rng(5)


def direction(seed: int = 0, site: str = "resid_post.1", width: int = WIDTH) -> Direction:
    vector = np.random.default_rng(seed).standard_normal(width)
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    return Direction(unit, Site.parse(site), "power", "test", "write", midpoint=0.3, spread=1.7, unit=5.0)


class Eraser:
    """Two made-up parts to be erased."""

    written = RNG.standard_normal((2, WIDTH))
    read = RNG.standard_normal((2, WIDTH))
    midpoint = RNG.standard_normal(WIDTH)


GIVEN = Given(
    probe=Probe(direction(3), 2.0, -0.5), eraser=Eraser(), second=direction(4), probability=0.9, target=1.5, low=-0.5,
    high=0.8, angle=30.0, heads=(1, 3), head_count=HEADS, width=WIDTH, source=np.linspace(-2.0, 3.0, WIDTH),
)  # fmt: skip
X = RNG.standard_normal((3, 5, WIDTH)).astype(np.float32)
V = direction().vector[None]


def made(name: str) -> Operation:
    return steering.load(name, GIVEN)


def moved(name: str, x: np.ndarray, coefficient: float) -> np.ndarray:
    one = made(name)
    return one.apply(x, V, coefficient, *one.arrays)


@pytest.mark.parametrize("name", steering.names())
class TestEveryOperation:
    def test_it_says_what_it_is_made_of_and_where_it_comes_from(self, name: str) -> None:
        module = registry.load("vprobe.steering", name)
        assert "Source:" in inspect.getdoc(module.apply)
        assert list(inspect.signature(module.apply).parameters)[:3] == ["x", "vector", "coefficient"]
        assert len(made(name).arrays) == len(inspect.signature(module.apply).parameters) - 3
        assert made(name).measure in ("activation", "share", "degrees")

    def test_torch_and_numpy_give_the_same(self, name: str) -> None:
        one = made(name)
        arrays = [torch.tensor(a, dtype=torch.float32) for a in one.arrays]
        got = one.apply(torch.tensor(X), torch.tensor(V), 0.7, *arrays)
        assert isinstance(got, torch.Tensor) and got.dtype == torch.float32
        np.testing.assert_allclose(got.numpy(), moved(name, X, 0.7), rtol=2e-5, atol=2e-5)

    def test_nothing_given_is_changed_and_the_shape_stays(self, name: str) -> None:
        x, before = X.copy(), X.copy()
        got = moved(name, x, 1.0)
        assert got.shape == X.shape and np.isfinite(got).all()
        np.testing.assert_array_equal(x, before)
        assert np.abs(got - X).max() > 1e-3, "it acts"

    def test_coefficient_zero_leaves_activations_alone(self, name: str) -> None:
        np.testing.assert_allclose(moved(name, X, 0.0), X, rtol=1e-5, atol=1e-6)

    def test_one_vector_and_size_per_row_is_row_by_row(self, name: str) -> None:
        one = made(name)
        vectors = np.stack([direction(seed).vector[None] for seed in range(3)])
        sizes = np.array([0.5, 1.0, -0.25], np.float32)[:, None, None]
        stacked = [np.stack([a, a * 0.5, a * 1.5]) for a in one.arrays]
        got = one.apply(X, vectors, sizes, *stacked)
        for r in range(3):
            alone = one.apply(X[r : r + 1], vectors[r], float(sizes[r, 0, 0]), *(a[r] for a in stacked))
            np.testing.assert_allclose(got[r : r + 1], alone, rtol=1e-5, atol=1e-6)

    def test_a_token_without_length_gives_finite_numbers(self, name: str) -> None:
        x = np.zeros((1, 2, WIDTH), np.float32)
        x[0, 1] = 2 * V[0]
        assert np.isfinite(moved(name, x, 1.0)).all() and np.isfinite(moved(name, x, -1.0)).all()

    def test_it_needs_what_it_needs(self, name: str) -> None:
        if not made(name).arrays or name in ("project-out",):
            assert steering.load(name).name == name
        else:
            with pytest.raises(InputError, match=f"operation {name}"):
                steering.load(name)


# --- formulas, token by token, with the dot products spelled out ----------------------------------------------------


def each_token(rule) -> np.ndarray:
    return np.array([[rule(token.astype(np.float64)) for token in row] for row in X])


def check(name: str, coefficient: float, rule) -> None:
    np.testing.assert_allclose(moved(name, X, coefficient), each_token(rule), rtol=1e-4, atol=1e-5)


v = V[0].astype(np.float64)


def test_adding_with_the_length_kept_points_elsewhere_at_the_same_length() -> None:
    def rule(x):
        y = x + 2.5 * v
        return y * np.sqrt(x @ x) / np.sqrt(y @ y)

    check("norm-preserving-add", 2.5, rule)


def test_rotation_turns_by_the_angle_in_the_plane_and_stops_at_the_vector() -> None:
    got = moved("rotate", X, 20.0)
    np.testing.assert_allclose(np.linalg.norm(got, axis=-1), np.linalg.norm(X, axis=-1), rtol=1e-5)
    cosine = (got * X).sum(-1) / (np.linalg.norm(got, axis=-1) * np.linalg.norm(X, axis=-1))
    np.testing.assert_allclose(np.degrees(np.arccos(cosine)), 20.0, atol=1e-2)
    towards = got @ v / np.linalg.norm(got, axis=-1) - X @ v / np.linalg.norm(X, axis=-1)
    assert (towards > 0).all() and (moved("rotate", X, -20.0) @ v < X @ v).all()
    plane = np.stack([X[0, 0], v, got[0, 0]])
    assert np.linalg.matrix_rank(plane, tol=1e-4) == 2
    there = moved("rotate", X, 500.0)
    np.testing.assert_allclose(there, np.linalg.norm(X, axis=-1, keepdims=True) * v, atol=1e-5)
    np.testing.assert_allclose(moved("rotate", X, -500.0), -there, atol=1e-5)
    parallel = (3 * V[None]).astype(np.float32)
    np.testing.assert_allclose(moved("rotate", parallel, 30.0), parallel, rtol=1e-5)


def test_an_angle_is_set_in_the_plane_and_nothing_else_changes() -> None:
    got, second = moved("angular", X, 1.0), GIVEN.second.vector.astype(np.float64)
    upright = second - (second @ v) * v
    upright /= np.linalg.norm(upright)
    np.testing.assert_allclose(np.degrees(np.arctan2(got @ upright, got @ v)), 30.0, atol=1e-2)
    np.testing.assert_allclose(np.hypot(got @ upright, got @ v), np.hypot(X @ upright, X @ v), rtol=1e-4)
    rest = np.eye(WIDTH) - np.outer(v, v) - np.outer(upright, upright)
    np.testing.assert_allclose(got @ rest, X @ rest, atol=1e-5)


def test_projections_are_taken_out_set_and_capped() -> None:
    np.testing.assert_allclose(moved("project-out", X, 1.0) @ v, 1.5, atol=1e-5)
    plain = steering.load("project-out")
    np.testing.assert_allclose(plain.apply(X, V, 1.0, *plain.arrays) @ v, 0.0, atol=1e-5)
    np.testing.assert_allclose(plain.apply(X, V, 0.25, *plain.arrays) @ v, 0.75 * (X @ v), atol=1e-5)
    np.testing.assert_allclose(moved("clamp", X, 1.0) @ v, 1.5, atol=1e-5)
    np.testing.assert_allclose(moved("cap", X, 1.0) @ v, np.clip(X @ v, -0.5, 0.8), atol=1e-5)
    inside = (X @ v > -0.5) & (X @ v < 0.8)
    assert inside.any() and not inside.all()
    np.testing.assert_allclose(moved("cap", X, 1.0)[inside], X[inside], atol=1e-6)
    one_sided = steering.load("cap", Given(high=0.0))
    np.testing.assert_allclose(one_sided.apply(X, V, 1.0, *one_sided.arrays) @ v, np.minimum(X @ v, 0), atol=1e-5)
    with pytest.raises(InputError, match="low 2 above high 1"):
        steering.load("cap", Given(low=2.0, high=1.0))


def test_erasing_is_the_affine_map() -> None:
    def rule(x):
        return x - sum((r @ (x - Eraser.midpoint)) * w for r, w in zip(Eraser.read, Eraser.written, strict=True))

    check("leace", 1.0, rule)


def test_an_interchange_takes_one_coordinate_over_and_a_patch_all_of_them() -> None:
    there = GIVEN.source
    got = moved("interchange", X, 1.0)
    np.testing.assert_allclose(got @ v, there @ v, atol=1e-5)
    np.testing.assert_allclose(got - (got @ v)[..., None] * v, X - (X @ v)[..., None] * v, atol=1e-5)
    check("interchange", 0.25, lambda x: x + 0.25 * (there @ v - x @ v) * v)
    np.testing.assert_allclose(moved("patch", X, 1.0), np.broadcast_to(there, X.shape), rtol=1e-6)
    check("patch", 0.25, lambda x: 0.75 * x + 0.25 * there)


@pytest.mark.parametrize("below", [False, True])
def test_the_minimal_dose_reaches_the_probability_and_not_more(below: bool) -> None:
    probe = GIVEN.probe
    one = steering.load("minimal-dose", Given(probe=probe, probability=0.2 if below else 0.5, below=below))
    along = probe.direction.vector[None]
    got = one.apply(X, along, 1.0, *one.arrays)
    before, after = probe.probability(X), probe.probability(got)
    limit = 0.2 if below else 0.5
    short = before > limit if below else before < limit
    assert short.any() and not short.all()
    np.testing.assert_allclose(after[short], limit, atol=1e-4)
    np.testing.assert_allclose(got[~short], X[~short], atol=1e-6)
    w, b = probe.weights, probe.bias
    for x, y in zip(X[short], got[short], strict=True):
        size = (math.log(limit / (1 - limit)) - w @ x - b) / np.linalg.norm(w)
        np.testing.assert_allclose(y, x + size * along[0], atol=1e-4)


def test_the_minimal_dose_along_a_writer_reaches_the_readers_probability() -> None:
    probe, write = GIVEN.probe, direction(3)
    mixed = write.vector + 0.3 * V[0]
    write = replace(write, vector=(mixed / np.linalg.norm(mixed)).astype(np.float32))
    one = steering.load("minimal-dose", Given(probe=probe, write=write, probability=0.99))
    np.testing.assert_allclose(probe.probability(one.apply(X, write.vector[None], 1.0, *one.arrays)), 0.99, atol=1e-4)
    with pytest.raises(InputError, match="does not rise"):
        turned = replace(write, vector=-write.vector)
        steering.load("minimal-dose", Given(probe=probe, write=turned, probability=0.9))


def test_the_relu_dose_is_what_the_probe_reads_above_zero() -> None:
    w, b = GIVEN.probe.weights, GIVEN.probe.bias
    check("relu-dose", 1.3, lambda x: x + 1.3 * max(0.0, float(x @ w + b)) * v)
    reads = X @ w + b
    assert (reads > 0).any() and (reads < 0).any()


def test_neurons_are_scaled_shifted_and_set_where_chosen_only() -> None:
    chosen = np.zeros(WIDTH, bool)
    chosen[[2, 7]] = True
    shifts = np.linspace(-1, 2, WIDTH)
    way = steering.neurons(shifts, chosen, layer=1, value="power")
    assert way.site == Site(1, "mlp_neurons")
    row = way.vector[None]
    others = ~chosen
    for name, coefficient, wanted in (
        ("neuron-scale", 0.5, X[..., chosen] * 1.5),
        ("neuron-scale", -1.0, X[..., chosen] * 0),
        ("neuron-shift", 2.0 * way.unit, X[..., chosen] + 2.0 * shifts[chosen]),
        ("neuron-clamp", 1.0, np.full_like(X[..., chosen], 1.5)),
    ):
        one = made(name)
        got = one.apply(X, row, coefficient, *one.arrays)
        np.testing.assert_allclose(got[..., chosen], wanted, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(got[..., others], X[..., others])
    own = steering.load("neuron-clamp", Given(targets=np.arange(WIDTH, dtype=np.float64)))
    np.testing.assert_allclose(own.apply(X, row, 1.0, *own.arrays)[0, 0, [2, 7]], [2.0, 7.0], atol=1e-5)
    with pytest.raises(InputError, match="0 neurons"):
        steering.neurons(shifts, ~chosen & chosen, layer=1, value="power")


def test_heads_get_alpha_times_spread_along_their_own_direction() -> None:
    width = WIDTH // HEADS
    own = RNG.standard_normal((2, width))
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    way = steering.heads(own, [3, 1], [2.0, 0.5], head_count=HEADS, layer=0, value="power")
    one = steering.load("per-head", Given(heads=(1, 3), head_count=HEADS, width=WIDTH))
    alpha = 15.0
    got = (one.apply(X, way.vector[None], one.coefficient(alpha, way.unit), *one.arrays) - X).reshape(
        3, 5, HEADS, width
    )
    np.testing.assert_allclose(got[:, :, 3], np.broadcast_to(alpha * 2.0 * own[0], (3, 5, width)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got[:, :, 1], np.broadcast_to(alpha * 0.5 * own[1], (3, 5, width)), rtol=1e-4, atol=1e-4)
    assert not got[:, :, [0, 2]].any()
    only = steering.load("per-head", Given(heads=(3,), head_count=HEADS, width=WIDTH))
    assert not (only.apply(X, way.vector[None], 1.0, *only.arrays) - X).reshape(3, 5, HEADS, width)[:, :, 1].any()
    for chosen in ([0, 0], [0, 4], [-1, 1]):
        with pytest.raises(InputError, match="from 0 to 3"):
            steering.heads(own, chosen, [1.0, 1.0], head_count=HEADS, layer=0, value="power")
    with pytest.raises(InputError, match=r"head 4[\s\S]*0 to 3"):
        steering.load("per-head", replace(GIVEN, heads=(4,)))
    with pytest.raises(InputError, match=r"per-head at resid_post[\s\S]*head_out"):
        Steering(one, direction(), 1.0)


# --- gates, probes, directions --------------------------------------------------------------------------------------


def opens(gate: Gate | None, x: np.ndarray) -> np.ndarray:
    assert gate is not None
    plain = gate.opens(x, *gate.arrays)
    torched = gate.opens(torch.tensor(x), *(torch.tensor(a, dtype=torch.float32) for a in gate.arrays))
    np.testing.assert_array_equal(plain, torched.numpy())
    return plain[..., 0]


def test_gates_open_between_their_bounds() -> None:
    probe, way = GIVEN.probe, direction()
    p = probe.probability(X)
    np.testing.assert_array_equal(opens(steering.gate("probability", probe=probe, above=0.4), X), p > 0.4)
    np.testing.assert_array_equal(opens(steering.gate("probability", probe=probe, below=0.4), X), p <= 0.4)
    band = opens(steering.gate("probability", probe=probe, above=0.2, below=0.7), X)
    np.testing.assert_array_equal(band, (p > 0.2) & (p <= 0.7))
    assert opens(steering.gate("probability", probe=probe, above=0.0), X).all()
    cosine = X @ v / np.linalg.norm(X, axis=-1)
    np.testing.assert_array_equal(opens(steering.gate("cosine", direction=way, above=0.1), X), cosine > 0.1)
    assert not opens(steering.gate("cosine", direction=way, above=0.1), np.zeros((1, 1, WIDTH), np.float32)).any()
    assert steering.gate("none") is None
    for wrong in ({"name": "cosin"}, {"name": "cosine", "above": 0.1}, {"name": "probability", "above": 0.5}):
        with pytest.raises(InputError):
            steering.gate(**wrong)
    with pytest.raises(InputError, match="one bound"):
        steering.gate("cosine", direction=way)
    with pytest.raises(InputError, match="0 to 1"):
        steering.gate("probability", probe=probe, above=1.5)


def test_a_probe_is_a_logistic_curve_along_its_direction() -> None:
    probe = Probe(direction(), 2.0, -0.5)
    np.testing.assert_allclose(probe.probability(X), 1 / (1 + np.exp(-(2.0 * direction().score(X) - 0.5))), rtol=1e-6)
    for slope in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="slope"):
            Probe(direction(), slope)


def test_calibration_finds_the_curve_that_made_the_labels() -> None:
    rng, way = np.random.default_rng(0), direction()
    x = rng.standard_normal((20_000, WIDTH)) * 2
    truth = Probe(way, 1.5, 0.7)
    present = rng.random(len(x)) < truth.probability(x)
    found = steering.calibrate(way, way.score(x), present)
    assert abs(found.slope - 1.5) < 0.1 and abs(found.intercept - 0.7) < 0.1
    with pytest.raises(RefusedError, match="log odds"):
        steering.calibrate(way, way.score(x), ~present)
    with pytest.raises(InputError, match="both kinds"):
        steering.calibrate(way, way.score(x), np.ones(len(x), dtype=bool))


def test_directions_apart_leave_each_others_projections_alone() -> None:
    ways = [direction(seed) for seed in (1, 2, 3)]
    for i, one in enumerate(steering.apart(ways)):
        shift = 0.4 * one.unit * one.vector
        for j, other in enumerate(ways):
            assert math.isclose(shift @ other.vector, 0.4 * other.unit if i == j else 0.0, abs_tol=1e-5)
    with pytest.raises(RefusedError, match="made up"):
        steering.apart([ways[0], ways[0]])
    with pytest.raises(InputError, match="several sites"):
        steering.apart([ways[0], direction(2, "resid_post.2")])


# --- records --------------------------------------------------------------------------------------------------------


def test_positions_count_from_the_start_or_back_from_the_answer() -> None:
    assert (from_token("from:4"), from_token("from:-3"), from_token("prompt")) == (4, -3, None)
    assert Steering(made("add"), direction(), 1.0, "from:-3").positions == "from:-3"
    for wrong in ("from:", "from:x", "from:1.5", "from"):
        with pytest.raises(InputError, match="positions"):
            Steering(made("add"), direction(), 1.0, wrong)


def test_conflict_policies_and_arrays_are_checked() -> None:
    for policy in CONFLICTS:
        assert Steering(made("add"), direction(), 1.0, conflict=policy).conflict == policy
    with pytest.raises(InputError, match="did you mean 'strongest'"):
        Steering(made("add"), direction(), 1.0, conflict="strong")
    with pytest.raises(InputError, match="finite"):
        Operation("x", lambda x, v, c: x, arrays=(np.array([[np.nan]]),))


def test_changes_are_shared_or_one_list_per_row() -> None:
    one = Steering(made("add"), direction(), 1.0)
    assert per_row([one], 3) == ((one,),) * 3 and per_row((), 2) == ((), ())
    assert per_row([[one], [], [one, one]], 3) == ((one,), (), (one, one))
    for wrong in ([[one]], [[one], one, []]):
        with pytest.raises(InputError, match="3 lists"):
            per_row(wrong, 3)


def test_doses_count_in_the_operations_measure() -> None:
    given = {"nulls": [], "strengths": (-1.0, 2.0), "unit": 5.0, "positions": "all"}
    adds = steering.doses(direction(), **given, operation=made("add"))
    assert [d.steering[0].coefficient for d in adds if d.steering] == [-5.0, 10.0]
    turns = steering.doses(direction(), **given, operation=made("rotate"))
    assert [d.steering[0].coefficient for d in turns if d.steering] == [-1.0, 2.0]


def test_every_operation_and_gate_is_in_the_readme() -> None:
    text = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    names = [*steering.names(), *(gate for gate in steering.GATES if gate != "none")]
    assert [name for name in names if f"`{name}`" not in text] == []
