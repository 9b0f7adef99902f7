"""Conditions of all kinds become one table; methods, instruments and models are set side by side from it."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from vprobe import agreement, benchmarks, store
from vprobe.config import RunConfig
from vprobe.errors import InputError, RefusedError
from vprobe.pipeline import _shift
from vprobe.pipeline._across import TABLES, across
from vprobe.pipeline._check import check_run
from vprobe.pipeline._conditions import SAID, conditions_of, over_conditions, square
from vprobe.pipeline._ladder import _instruments
from vprobe.pipeline._personas import settle
from vprobe.pipeline._shift import _facts, _read, shift
from vprobe.pipeline._told import enough, partial_slopes
from vprobe.types import Agreement, ConditionRow, MethodRow, ProfileRow, TransferRow, ValidityRow
from vprobe.values import SCHWARTZ

from tests.fake_backend import FakeBackend
from tests.test_report import benchmark, info


def conditions(seed: int, *, n: int = 40, kind: str = "persona", instrument: str = "", follows: bool = True):
    """Return rows of one instrument; behaviour follows what is read, or is unrelated."""
    rng = np.random.default_rng(7)
    truth = rng.standard_normal((n, 10))
    rng = np.random.default_rng(seed)
    other = truth if follows else rng.standard_normal((n, 10))
    halves = [side + 0.4 * rng.standard_normal((n, 10)) for side in (truth, truth, other, other)]
    return [
        ConditionRow(
            f"{kind}{i}", value, (halves[0][i, c] + halves[1][i, c]) / 2, (halves[2][i, c] + halves[3][i, c]) / 2, 30,
            "partial", "resid_post.1", kind, f"v{i // 4}" if kind == "steered" else "", instrument,
            *(float(side[i, c]) for side in halves),
        )
        for i in range(n) for c, value in enumerate(SCHWARTZ)
    ]  # fmt: skip


def run_folder(folder: Path, rows: list[ConditionRow], *, model: str = "") -> Path:
    folder.mkdir()
    about = info()
    if model and about.model:
        about = replace(about, model=replace(about.model, fingerprint=model))
    store.save_info(folder, about, "extract")
    store.save_items(folder, benchmark(SCHWARTZ, 4, np.random.default_rng(0)))
    store.save_rows(folder, "conditions", rows, ConditionRow)
    return folder


def test_agreement_over_conditions_has_the_ceiling_that_halves_give() -> None:
    rows = conditions_of(conditions(0), draws=99, seed=0, method="partial")
    assert rows[-1].value == "all" and rows[-1].p <= 0.01
    for row in rows:
        assert row.estimate <= row.ceiling + 0.05 and 0.85 < row.ceiling <= 1.0
    old = [replace(row, probe_first=math.nan) for row in conditions(0)]
    assert math.isnan(conditions_of(old, draws=9, seed=0, method="partial")[0].ceiling), "no halves, no ceiling"


def test_told_and_steered_conditions_and_instruments_are_kept_apart() -> None:
    rows = [*conditions(0), *conditions(1, kind="steered"), *conditions(2, instrument="portraits", follows=False)]
    made = over_conditions(rows, RunConfig())
    kinds = {row.comparison for row in made}
    assert kinds == {"probe~behavior", "probe~behavior, steered", "probe~behavior, on portraits"}
    cells = {row.comparison: row for row in made if row.statistic == agreement.CELLS}
    assert cells["probe~behavior"].estimate > 0.7 and cells["probe~behavior, on portraits"].p > 0.01
    steered = cells["probe~behavior, steered"]
    assert (
        steered.n_groups == 10 and steered.n_scored == 40 and "what was added is part of what is read" in steered.note
    )
    assert square(conditions(1, kind="steered")).clusters[:5] == ("v0", "v0", "v0", "v0", "v1")


def test_claims_rest_on_told_conditions_of_the_runs_own_items_only(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", [])
    rows = [*conditions(1, kind="steered"), *conditions(2, instrument="portraits")]
    assert settle(folder, rows, RunConfig(claim_draws=39)) == ()
    assert store.load_rows(folder, "agreement", Agreement) == ()
    made = settle(folder, [*rows, *conditions(0)], RunConfig(claim_draws=39, steer_method="partial"))
    assert [row.value for row in made] == [*SCHWARTZ, "all"] and made[-1].n_scored == 40
    held = store.load_rows(folder, "agreement", Agreement)
    assert [(row.value, row.estimate, row.p) for row in held] == [(row.value, row.estimate, row.p) for row in made]


def test_methods_and_transfer_are_made_from_the_conditions_of_runs_and_reach_rung_seven(tmp_path: Path) -> None:
    rows = [*conditions(0), *conditions(1, instrument="portraits"), *conditions(2, instrument="svo", follows=False)]
    folder = run_folder(tmp_path / "run", rows)
    found = across([folder])
    assert found.methods is not None and found.n == 40 and len(found.names) == 6
    good = [row for row in found.methods.validity if "svo" not in row.first + row.second]
    assert min(row.r for row in good) > 0.5 and all(row.p_family <= 0.05 for row in good)
    assert {row.level for row in found.rows} == {"transfer"}
    by_name = {row.comparison.rpartition("rating ")[2]: row for row in found.rows if row.value == "all"}
    assert by_name["portraits"].p <= 0.01 < by_name["svo"].p
    known = dict(_instruments(folder, "power"))
    assert known["portraits"] <= 0.01 and known["svo"] > 0.01
    assert len(store.load_rows(folder, "mtmm", MethodRow)) == 60 * 59 // 2
    assert store.load_rows(folder, "validity", ValidityRow) == found.methods.validity
    store.save_rows(folder, "conditions", [], ConditionRow)
    assert across([folder]).methods is None and not any(store.has(folder, name) for name in TABLES), "nothing stale"


def test_profiles_of_models_are_told_apart_or_said_to_be_too_few(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = run_folder(tmp_path / "one", [])
    rows = [ProfileRow(value, kind, float(rng.standard_normal()), 0.0, 1.0, 9, 0, "points") for value in SCHWARTZ
            for kind in ("rating", "probe")]  # fmt: skip
    store.save_rows(folder, "profile", rows, ProfileRow)
    assert across([folder, folder]).rows == (), "one model twice is one model"


def test_another_kind_of_behaviour_on_the_same_instrument_is_a_method_but_no_transfer(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", [])
    name = f"{store.load_items(folder).name} {SAID}"
    store.save_rows(folder, "conditions", [*conditions(0), *conditions(1, instrument=name)], ConditionRow)
    found = across([folder])
    assert f"rating {name}" in found.names and found.rows == ()


def test_transfer_is_stored_with_the_run_it_is_read_in_and_goes_when_conditions_are_made_anew(tmp_path: Path) -> None:
    rows = [*conditions(0), *conditions(2, instrument="portraits", follows=False)]
    one = run_folder(tmp_path / "one", rows, model="A")
    two = run_folder(tmp_path / "two", [*conditions(0), *conditions(1, instrument="portraits")], model="B")
    across([one, two])
    assert len(_instruments(one, "power")) == 1 and dict(_instruments(one, "power"))["portraits"] > 0.05
    assert dict(_instruments(two, "power"))["portraits"] <= 0.05
    store.save_info(one, replace(info(), model=None), "agree")
    store.drop(one, ("agree", "across"))
    assert not {"agree", "across"} & set(store.stages(one)) and not any(store.has(one, name) for name in TABLES)
    settle(two, rows, RunConfig(claim_draws=39))
    assert _instruments(two, "power") == () and not any(store.has(two, name) for name in TABLES)


def test_no_benchmark_that_had_a_part_in_the_fit_is_a_transfer(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", [])
    items = store.load_items(folder)
    store.save_items(folder, replace(items, name="one+two"))
    for asked in (f"one {SAID}", "two+three"):
        store.save_rows(folder, "conditions", [*conditions(0), *conditions(1, instrument=asked)], ConditionRow)
        assert across([folder]).rows == ()


def test_what_kinds_of_conditions_differ_in_is_no_transfer_and_no_validity(tmp_path: Path) -> None:
    rows = []
    for seed, instrument in ((0, ""), (5, "portraits")):
        for kind, more in (("persona", 0.0), ("prompt", 4.0)):
            made = conditions(seed + int(more), n=24, kind=kind, instrument=instrument, follows=False)
            rows += [replace(row, probe=row.probe + more, behavior=row.behavior + more) for row in made]
    found = across([run_folder(tmp_path / "run", rows)])
    assert found.methods is not None and len(found.rows) == 11
    assert all(abs(row.estimate) < 0.5 and row.ceiling > 0.7 and "within 2 kinds" in row.note for row in found.rows)
    assert min(row.p_family for row in found.rows[:-1]) > 0.05
    behaviour = [row for row in found.methods.validity if row.first[:5] != row.second[:5]]
    assert behaviour and max(abs(row.r) for row in behaviour) < 0.5


def test_what_runs_show_together_is_checked_where_one_run_holds_all_of_it(tmp_path: Path) -> None:
    rows = [*conditions(0, n=12), *conditions(1, n=12, instrument="portraits")]
    one, two = (run_folder(tmp_path / name, rows, model=name) for name in ("one", "two"))
    across([one])
    assert {row.table for row in check_run(one) if row.verdict == "ok"} == set(TABLES)
    store.save_rows(one, "conditions", conditions(0, n=12), ConditionRow)
    assert {row.table for row in check_run(one) if row.verdict == "differs"} >= {"mtmm", "agreement_across"}
    across([one, two])
    notes = {row.table: row.note for row in check_run(two)}
    assert notes["agreement_across"] == "made from several runs"


def test_steering_on_another_instrument_is_corrected_over_the_values_tried_there(tmp_path: Path) -> None:
    row = TransferRow(
        "power", "partial", "resid_post.1", "all", 1.0, "residual norm", "portraits", "rating", "slope", "points", 1,
        0.5, 0.2, 0.8, 0.02, -0.1, 0.1, 0.02, 40, True, 0.0, 40, 0, 1.0,
    )  # fmt: skip
    folder = run_folder(tmp_path / "run", [])
    store.save_rows(folder, "transfer", [replace(row, value=value) for value in SCHWARTZ], TransferRow)
    assert dict(_instruments(folder, "power")) == {"portraits, steered": pytest.approx(0.2)}
    store.save_rows(folder, "transfer", [row], TransferRow)
    assert dict(_instruments(folder, "power")) == {"portraits, steered": pytest.approx(0.02)}


def test_models_are_told_by_what_is_read_under_conditions_they_share(tmp_path: Path) -> None:
    found = []
    for follows in (True, False):
        folders = []
        for number in range(6):
            rows = conditions(number, n=9, follows=follows)
            rows = [row for row in rows if row.condition == f"persona{number}"]  # one state each, under a common name
            rows = [replace(row, condition="told") for row in rows]
            folders.append(run_folder(tmp_path / f"{follows}{number}", rows, model=f"model {number}"))
        rows = [row for row in across(folders).rows if row.statistic == agreement.TOLD]
        assert len(rows) == 1 and "1 conditions told to all" in rows[0].comparison
        assert rows[0].null_mean == pytest.approx(1 / 6)
        found.append(rows[0])
    assert found[0].estimate >= 0.8 and found[0].p <= 0.02 < found[1].p


def test_r_over_its_ceiling_undoes_the_noise_of_both_sides_or_says_unmeasurable() -> None:
    rows = [row for row in over_conditions(conditions(0), RunConfig()) if row.statistic == agreement.OVER]
    assert [row.value for row in rows] == [*SCHWARTZ, "all"]
    assert 0.95 <= rows[-1].estimate <= 1.05 and rows[-1].low <= 1.0 <= rows[-1].high, "the truth is 1"
    free = np.random.default_rng(1)
    loose = [replace(row, behavior_first=float(free.standard_normal()), behavior_second=float(free.standard_normal()))
             for row in conditions(0)]  # fmt: skip
    rows = [row for row in over_conditions(loose, RunConfig()) if row.statistic == agreement.OVER]
    refused = [row for row in rows[:-1] if "unmeasurable: reliability of behaviour" in row.note]
    assert len(refused) >= 9 and all(math.isnan(row.estimate) for row in refused)
    assert f"mean over {10 - len(refused)} of 10" in rows[-1].note or "no value is measurable" in rows[-1].note


def test_what_a_model_would_say_follows_what_it_is_told(tmp_path: Path) -> None:
    from vprobe import backends, organism
    from vprobe.benchmarks import planted
    from vprobe.organism.replies import replies
    from vprobe.pipeline._likely import likely_rows
    from vprobe.pipeline._told import Told
    from vprobe.types import Direction

    records = replies(2)
    planted.write(tmp_path / "planted.json", records, 1.0)
    card, backend = organism.read_card(organism.load()), backends.load(str(organism.load()), device="cpu")
    vectors = [
        Direction(card.u[i].astype(np.float32), card.site, v, "partial", "write") for i, v in enumerate(SCHWARTZ)
    ]
    chosen = [Told(one.id, one.text) for one in card.speakers[:3]]
    config = RunConfig(persona_limit=2)
    made = likely_rows(backend, chosen, vectors, (planted.load(tmp_path),), config, lambda *_: None)
    table = square(made.rows)
    truth = np.array([one.profile for one in card.speakers[:3]])
    truth = truth - truth.mean(axis=1, keepdims=True)
    for side in (table.probe, table.behavior):
        own = side - side.mean(axis=1, keepdims=True)
        assert np.corrcoef(own.ravel(), truth.ravel())[0, 1] > 0.95
    assert {row.instrument for row in made.rows} == {f"planted {SAID}"} and made.rows[0].n_items == 20


def test_prompts_of_the_users_own_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text('{"calm": "You are calm.", "bold": "You are bold."}', encoding="utf-8")
    assert next((one.id, one.text, one.kind) for one in _read(path)) == ("calm", "You are calm.", "prompt")
    assert _read(None) == ()
    for text in ("[]", "{}", '{"a": ""}', '{"a": 3}', '{"a@b": "x"}', "no json"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=r"prompts\.json"):
            _read(path)
    with pytest.raises(InputError, match="cannot be read"):
        _read(tmp_path / "none.json")


def test_queries_too_few_to_tell_the_values_apart_are_refused_before_anything_is_asked() -> None:
    found = (benchmarks.load("everyday"),)
    with pytest.raises(InputError, match=r"^--limit: 10 items of 2 queries do not tell 10 values apart[\s\S]*20 items"):
        enough(found, RunConfig(persona_limit=2), SCHWARTZ)
    enough(found, RunConfig(persona_limit=12), SCHWARTZ)
    enough(found, RunConfig(persona_limit=0), SCHWARTZ)


def test_a_shift_that_has_no_number_says_why(tmp_path: Path) -> None:
    rows = [replace(row, behavior=math.nan) for row in conditions(0)]
    folder = run_folder(tmp_path / "run", rows)
    settle(folder, rows, RunConfig(claim_draws=39, steer_method="partial"))
    told = dict(_facts(folder, rows, ""))
    (cells,) = (told[name] for name in told if name.endswith(agreement.CELLS))
    assert cells.startswith("n/a (0 conditions with all of 10 values") and "nan" not in cells


def test_a_shift_reports_what_it_has_just_made_and_not_what_was_kept(tmp_path: Path, monkeypatch) -> None:
    folder = run_folder(tmp_path / "run", conditions(0, n=12, instrument="portraits"))
    known = SimpleNamespace(keyed=SimpleNamespace(values=SCHWARTZ))
    backend = SimpleNamespace(device="cpu", info=SimpleNamespace(name="m"))
    stubs = {"study": known, "as_probed": None, "load_benchmarks": (), "enough": None,
             "fitted": (SimpleNamespace(value="power"),),
             "load_backend": backend, "_apart": None, "_rows": (conditions(1, n=9), ())}  # fmt: skip
    for name, made in stubs.items():
        monkeypatch.setattr(_shift, name, lambda *_, made=made, **__: made)
    monkeypatch.setattr(_shift, "at_work", lambda *_: nullcontext(backend), raising=False)
    monkeypatch.setattr(_shift, "info", lambda *_: store.load_info(folder))
    path = tmp_path / "told.json"
    path.write_text('{"calm": "You are calm."}', encoding="utf-8")
    facts = dict(shift(folder, RunConfig(personas=0, claim_draws=39), texts=path).facts)
    assert facts["conditions told"] == 9 and not any("portraits" in name for name in facts)


def test_slopes_of_items_keyed_to_one_value_each_are_deviations_from_their_mean() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 5)
    key = np.concatenate([rng.permutation(10)[:5] for _ in range(30)])
    labels, slopes = np.eye(10)[key], np.linspace(-1, 1, 10)
    found = partial_slopes(labels, labels @ slopes + 3.0, groups)
    np.testing.assert_allclose(found, slopes - slopes.mean(), atol=1e-9)


def test_conditions_read_or_asked_otherwise_are_not_put_beside_those_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, path = conditions(0, n=4), tmp_path / "told.json"
    folder = run_folder(tmp_path / "run", kept)
    known = SimpleNamespace(keyed=SimpleNamespace(values=SCHWARTZ))
    for name, made in (("study", known), ("as_probed", None), ("load_benchmarks", ()),
                       ("fitted", (SimpleNamespace(value="power"),)), ("enough", None)):  # fmt: skip
        monkeypatch.setattr(_shift, name, lambda *_, made=made: made)
    monkeypatch.setattr(_shift, "load_backend", lambda *_, **__: FakeBackend())
    config = RunConfig(personas=0)
    path.write_text('{"calm": "You are calm."}', encoding="utf-8")
    for change in ({"site": "resid_post.9"}, {"method": "ridge"}, {"n_items": 12}):
        new = [replace(row, condition="calm", kind="prompt", **change) for row in kept[:10]]
        monkeypatch.setattr(_shift, "_rows", lambda *_, new=new: (new, ()))
        with pytest.raises(RefusedError, match=r"calm with .* beside conditions with"):
            shift(folder, config, texts=path)
        with pytest.raises(RefusedError, match="one method, site and set of items"):
            square([*kept, *new])
        assert len(square([replace(row, instrument="portraits") for row in new]).names) == 1
        assert len(over_conditions([*kept, *(replace(row, instrument="portraits") for row in new)], config)) > 0
    assert store.load_rows(folder, "conditions", ConditionRow) == tuple(kept), "nothing is stored"
    path.write_text('{"persona1": "You are calm."}', encoding="utf-8")
    with pytest.raises(InputError, match="'persona1' names a stored condition of kind persona, too"):
        shift(folder, config, texts=path)
    monkeypatch.setattr(_shift, "speakers", lambda _: (_shift.Told("calm", "You are calm."),))
    path.write_text('{"calm": "You are bold."}', encoding="utf-8")
    with pytest.raises(InputError, match="'calm' names another condition, too"):
        shift(folder, config.changed({"personas": 4}), texts=path)
