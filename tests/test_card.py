"""The baseline card says what a probe adds to text and to an untrained model, and shows what divided queries do."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from vprobe import backends, benchmarks, controls, organism, pipeline, splits, stats, store
from vprobe.config import RunConfig
from vprobe.errors import RefusedError
from vprobe.pipeline import _card, _held, _ladder, _search, _study
from vprobe.pipeline._study import Keyed, Study
from vprobe.report import card as report_card
from vprobe.report import tables
from vprobe.types import Activations, Agreement, BaselineRow, RunInfo, ScoreRow, SearchRow, Site, SitePick
from vprobe.values import SCHWARTZ

from tests import tiny

DRAWS = 19
CONFIG = RunConfig(draws=DRAWS)


@lru_cache(maxsize=4)
def drawn(labels: str) -> organism.Drawn:
    return organism.draw(40, seed=3, labels=labels)


def known_of(labels: str, x: np.ndarray) -> Study:
    """A study of planted items whose activations are given."""
    one = drawn(labels).benchmark
    ids = tuple(item.id for item in one.items)
    groups, values = one.groups(ids), SCHWARTZ[:3]
    y = one.loadings(ids, values)
    keyed = Keyed(one, ids, groups, values, y)
    acts = Activations(x[:, None].astype(np.float32), ids, (Site(0),), "response_mean", "m")
    shuffled = controls.shuffle_labels(y, groups, draws=DRAWS, seed=0)
    return Study(keyed, acts, splits.by_group(groups, k=5, seed=0), shuffled)


def activations_of(labels: str, signal: float, query: float = 0.5, d: int = 24) -> np.ndarray:
    """Activations that hold what was planted, and each query's own mark."""
    one, rng = drawn(labels), np.random.default_rng(1)
    loadings = np.asarray(one.loadings)
    x = rng.standard_normal((len(loadings), d))
    x += query * np.repeat(rng.standard_normal((len(loadings) // 5, d)), 5, axis=0)
    return x + signal * (loadings / loadings.std(axis=0)) @ np.eye(10, d)


def card_of(known: Study, folder: Path, method: str = "covariance") -> list[BaselineRow]:
    found = _search.search(
        [known.acts.at(Site(0))], known.columns, known.keyed.groups, known.folds, method=method, seed=0, block=3
    )  # fmt: skip
    held = _held.held_of(known, found.nested.scores, ("nested",) * 3, method)
    words = _card._from_text(known, _words(known), CONFIG)
    assert words is not None
    return _card.card(folder, known, [held], words, _search.picks(found, (Site(0),), SCHWARTZ[:3], method), CONFIG)


def _words(known: Study) -> np.ndarray:
    items = known.keyed.benchmark.pick(known.keyed.item_ids)
    return controls.text_features([f"{i.title} {i.text} {i.response}" for i in items])


def rows_of(rows: list[BaselineRow], baseline: str, *, statistic: str = "within-query r", safe: bool = True):
    return [row for row in rows if (row.baseline, row.statistic, row.safe) == (baseline, statistic, safe)]


def test_a_probe_that_knows_is_ahead_of_text_and_of_random_functions_of_the_words(tmp_path: Path) -> None:
    rows = card_of(known_of("true", activations_of("true", 1.0)), tmp_path)
    for name in ("tf-idf", "unigrams", "length", "control task"):
        mine = rows_of(rows, name)
        assert [row.value for row in mine] == list(SCHWARTZ[:3]) and {row.method for row in mine} == {"covariance"}
        assert min(row.excess_low for row in mine) > 0, name
        assert all(row.low <= row.estimate <= row.high and row.n_scored == 200 for row in mine)
    for row in rows_of(rows, "tf-idf"):
        assert row.null_low < row.null_mean < row.null_high and row.p >= 1 / (DRAWS + 1)
    for name, why in (("untrained", "vprobe extract"), ("layer 0", "embed"), ("embedding", "--embedding"),
                      ("source", "nothing within queries")):  # fmt: skip
        assert all(math.isnan(row.estimate) and why in row.note for row in rows_of(rows, name)), name
    assert all("as unreliable as the labels" in row.note for row in rows_of(rows, "control task"))


def test_a_probe_that_reads_words_alone_is_not_selective(tmp_path: Path) -> None:
    known = known_of("random", np.zeros((200, 24)))
    counts = stats.centre(controls.word_counts([i.response for i in known.keyed.benchmark.items]), known.keyed.groups)
    rotated = counts @ np.random.default_rng(0).standard_normal((counts.shape[1], 300)) / 20
    acts = Activations(rotated[:, None].astype(np.float32), known.acts.sample_ids, (Site(0),), "response_mean", "m")
    mine = rows_of(card_of(replace(known, acts=acts), tmp_path, "ridge"), "control task")
    assert min(row.estimate for row in mine) > 0.25 and max(row.excess for row in mine) < 0


def test_divided_queries_report_what_whole_queries_do_not(tmp_path: Path) -> None:
    rows = card_of(known_of("query", activations_of("query", 0.0, query=2.0)), tmp_path)
    for name in ("probe", "tf-idf"):
        safe, unsafe = (rows_of(rows, name, statistic="r over items", safe=flag) for flag in (True, False))
        gap = [u.estimate - s.estimate for s, u in zip(safe, unsafe, strict=True)]
        assert min(gap) > 0.3, name
        assert all("UNSAFE" in row.note for row in unsafe) and not any(row.note for row in safe)
        assert min(row.null_mean for row in unsafe) > 0.2, "shuffled labels look as good: nothing was read"
        assert max(abs(row.null_mean) for row in safe) < 0.15


def test_r_over_items_is_of_deviations_from_each_folds_mean_with_a_p_of_its_own_sign() -> None:
    known = known_of("true", np.zeros((200, 2)))
    rng = np.random.default_rng(0)
    shift = np.zeros((200, 1))
    for number, fold in enumerate(known.folds):
        shift[fold.test] = 100.0 * number
    told = known.columns + 0.05 * rng.standard_normal(known.columns.shape) + shift
    told[:, 1] *= -1
    told[:, 3:] = rng.standard_normal((200, told.shape[1] - 3))
    rows = _card._over_items(known, "probe", told, known.folds, True, 0)
    assert [row.value for row in rows] == list(SCHWARTZ[:3])
    assert min(rows[0].estimate, -rows[1].estimate, rows[2].estimate) > 0.5, "folds' own means are no agreement"
    assert [row.p for row in rows] == [1 / (DRAWS + 1), 1.0, 1 / (DRAWS + 1)]
    assert all(row.low < row.estimate < row.high and row.null_low < 0 < row.null_high for row in rows)


def test_a_control_task_is_as_noisy_as_its_own_values_labels(tmp_path: Path) -> None:
    known = known_of("true", activations_of("true", 1.0))
    one = known.keyed.benchmark
    within: dict[str, float] = dict(zip(SCHWARTZ[:3], (0.9, 0.5, 0.7), strict=True))
    noise = tuple(replace(r, estimate=within.get(r.value, r.estimate)) if r.within else r for r in one.reliability)
    known = replace(known, keyed=replace(known.keyed, benchmark=replace(one, reliability=noise)))
    rows = rows_of(card_of(known, tmp_path), "control task")
    assert [row.note.rpartition("labels ")[2] for row in rows] == ["(0.90)", "(0.50)", "(0.70)"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [f"{item.text} {item.response}" for item in benchmarks.load("everyday").items]
    return tiny.untrained(tmp_path_factory.mktemp("model") / "llama", words, seed=0)


def extracted(model: Path, folder: Path, **changed) -> RunConfig:
    config = RunConfig(model=str(model), benchmark=("everyday",), out=str(folder), limit=10, draws=9, map=False,
                       method=("covariance",), values=("power", "benevolence"))  # fmt: skip
    config = config.changed(changed)
    pipeline.extract(config)
    return config


def test_random_weights_are_those_of_their_seed_and_of_the_same_shape(model: Path) -> None:
    trained, one, again, other = (
        backends.load(str(model)), *(backends.untrained(str(model), seed=seed) for seed in (0, 0, 1))
    )  # fmt: skip
    assert one.info.fingerprint == again.info.fingerprint
    assert len({trained.info.fingerprint, one.info.fingerprint, other.info.fingerprint}) == 3
    assert "untrained, seed 0" in one.info.name
    assert replace(one.info, name="", fingerprint="") == replace(trained.info, name="", fingerprint="")


def test_the_untrained_model_and_block_0_are_read_once_and_stand_on_the_card(model: Path, tmp_path: Path) -> None:
    config = extracted(model, tmp_path / "run", seed=4, embedding=str(model))
    place = tmp_path / "run" / "baselines"
    assert {path.name for path in place.iterdir()} == {"untrained", "embed"}
    stamps = {path: path.stat().st_mtime_ns for path in place.rglob("*.safetensors")}
    pipeline.extract(config.changed({"seed": 5}))
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*.safetensors")} == stamps
    pipeline.probe(tmp_path / "run", config)
    rows = store.load_rows(tmp_path / "run", "baselines", BaselineRow)
    for name in ("untrained", "layer 0", "embedding"):
        mine = rows_of(list(rows), name)
        assert len(mine) == 2 and all(math.isfinite(row.estimate) and math.isfinite(row.excess) for row in mine), name
    assert {row.seed for row in rows_of(list(rows), "untrained")} == {4}
    found = store.load_rows(tmp_path / "run", "agreement", Agreement)
    told = _ladder._evidence(tmp_path / "run", found, "power", "covariance", (), 0.05)
    (untrained,), (control,) = ([r for r in rows_of(list(rows), name) if r.value == "power"]
                                for name in ("untrained", "control task"))  # fmt: skip
    np.testing.assert_equal((told.untrained, told.selectivity), (untrained.estimate, control.excess_low))
    assert len(store.load_rows(tmp_path / "run", "search", SearchRow)) == 2 * tiny.LAYERS
    assert len(store.load_rows(tmp_path / "run", "picks", SitePick)) == 2 * 5


def test_no_untrained_model_is_read_when_none_is_asked_for_and_the_card_says_so(model: Path, tmp_path: Path) -> None:
    config = extracted(model, tmp_path, untrained=False)
    assert not (tmp_path / "baselines" / "untrained").exists()
    pipeline.probe(tmp_path, config)
    rows = rows_of(list(store.load_rows(tmp_path, "baselines", BaselineRow)), "untrained")
    assert all(math.isnan(row.estimate) and "--untrained" in row.note for row in rows) and len(rows) == 2


@pytest.mark.parametrize("final", [0.0, 0.2])
def test_a_study_that_holds_out_blocks_says_so_to_inner_folds_and_one_of_queries_does_not(
    final: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = known_of("true", activations_of("true", 1.0))
    items = tuple(replace(item, block=f"b{int(item.group[1:]) % 8}") for item in known.keyed.benchmark.items)
    keyed = replace(known.keyed, benchmark=replace(known.keyed.benchmark, items=items))
    monkeypatch.setattr(_study, "_opened", lambda folder, config: (known.acts, keyed))
    block = {item.id: item.block for item in items}
    for hold_out in ("query", "block"):
        config = RunConfig(hold_out=hold_out, final=final, folds=4, draws=1)
        made = _study.study(Path(), config)
        for study in (made, _study.whole(Path(), config)) if final else (made,):
            for fold in study.folds:
                names = [block[study.keyed.item_ids[i]] for i in fold.train]
                pairs = set(zip(names, fold.whole, strict=True)) if fold.whole is not None else set()
                assert len(pairs) == (len(set(names)) if hold_out == "block" else 0)


def test_a_final_split_opens_once_and_a_second_opening_is_marked(model: Path, tmp_path: Path) -> None:
    config = extracted(model, tmp_path, untrained=False, final=0.2)
    stage = pipeline.probe(tmp_path, config)
    assert dict(stage.facts)["queries"] == 8
    probed = {row.item_id for row in store.load_rows(tmp_path, "scores", ScoreRow)}
    opened = pipeline.open_final(tmp_path, config)
    assert dict(opened.facts)["items set aside"] == 10 and len(probed) == 40
    rows = store.load_rows(tmp_path, "final", Agreement)
    assert {row.n_scored for row in rows} == {10} and not any("UNSAFE" in row.note for row in rows)
    assert dict(store.load_info(tmp_path, "final").config)["opened"] == 1
    with pytest.raises(RefusedError, match=r"opened before \(once\)"):
        pipeline.open_final(tmp_path, config)
    for made in ("steer", "shift"):
        store.save_info(tmp_path, store.load_info(tmp_path, "probe"), made)
    again = pipeline.probe(tmp_path, config.changed({"method": "mean-difference", "draws": 0}))
    assert dict(again.facts)["taken away, for the directions before stood behind it"] == "steer, shift"
    assert not {"steer", "shift"} & set(store.stages(tmp_path))
    with pytest.raises(RefusedError, match="opened before"):
        pipeline.open_final(tmp_path, config)
    pipeline.open_final(tmp_path, config, unsafe=True)
    assert all("UNSAFE" in row.note for row in store.load_rows(tmp_path, "final", Agreement))
    assert dict(store.load_info(tmp_path, "final").config)["opened"] == 2


def test_items_that_were_probed_before_they_were_set_aside_are_not_a_final_split(model: Path, tmp_path: Path) -> None:
    config = extracted(model, tmp_path, untrained=False)
    pipeline.probe(tmp_path, config)
    with pytest.raises(RefusedError, match="no items were set aside"):
        pipeline.open_final(tmp_path, config)
    pipeline.probe(tmp_path, config.changed({"final": 0.3}))
    with pytest.raises(RefusedError, match="probed before they were set aside"):
        pipeline.open_final(tmp_path, config)


def test_a_final_split_keeps_rater_groups_whole_and_refuses_shares_that_leave_nothing() -> None:
    blocks = tuple(f"b{i // 20}" for i in range(200))
    fold = splits.aside(blocks, share=0.3, seed=1)
    out = {blocks[i] for i in fold.test}
    assert len(out) == 3 and out.isdisjoint(blocks[i] for i in fold.train) and len(fold.test) == 60
    assert len(splits.aside(blocks, share=0.01, seed=1).test) == 20
    for share in (0.0, 0.6):
        with pytest.raises(RefusedError, match="set aside"):
            splits.aside(blocks, share=share, seed=1)


def test_the_report_has_the_card_and_marks_what_is_unsafe(tmp_path: Path) -> None:
    rows = card_of(known_of("true", activations_of("true", 1.0)), tmp_path)
    info = RunInfo((), "0", "", (), None, 0)
    made = report_card.section(tables.Tables(info, (), baselines=tuple(rows)))
    (card, short, every) = made.grids
    assert [line[0] for line in card.rows] == ["Power", "Achievement", "Hedonism"] and "selectivity" in card.head[-2]
    assert any("vprobe extract --embedding" in note for note in card.notes)
    assert {line[3] for line in short.rows} == {"whole queries", "UNSAFE"} and len(every.rows) == len(rows)
