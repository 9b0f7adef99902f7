"""What texts begin with in common is computed once, and nothing that is read changes by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vprobe import activations, backends, batching, prompts, store
from vprobe.backends import _engine, _families, _pool, _tree
from vprobe.types import Prompt, Site, Tokens

from tests import tiny
from tests.test_backend_hf import prompt

torch.set_num_threads(1)
SHARING = ("llama", "qwen3", "gpt2", "gpt_neo", "gpt_neox", "phi")
ALONE = ("gemma2", "gemma3_text", "mistral")
LONG = "my friend is angry with me and i do not know why, what now? should i say sorry, or should i go?"
QUERIES = ("hi", LONG, f"{LONG} no one here likes me")
REPLIES = (
    "say sorry and be kind", "no", "go on then my friend", "say sorry and be honest to each other very much",
)  # fmt: skip
POSITIONS = ("response_mean", "last_prompt", "last_content")

# --- the tree --------------------------------------------------------------------------------------------------------

words = st.lists(st.integers(0, 2), min_size=1, max_size=12).map(tuple)


@given(st.lists(words, min_size=1, max_size=12), st.sampled_from([1, 4, 16]))
@settings(max_examples=60, deadline=None)
def test_every_text_is_its_segments_one_after_another(texts: list[tuple[int, ...]], least: int) -> None:
    found: list[tuple[int, ...]] = [() for _ in texts]
    segments = batching.tree(texts, least=least)
    for segment in segments:
        assert segment.parent < 0 or segments[segment.parent].end == segment.start
        for i in segment.texts:
            assert len(found[i]) == segment.start
            found[i] += texts[segment.texts[0]][segment.start : segment.end]
    assert found == texts
    if least == 1:
        every = {text[:n] for text in texts for n in range(1, len(text) + 1)}
        assert (
            sum(s.end - s.start for s in segments)
            == len(every)
            == batching.distinct(texts, [range(len(texts))], least=1)
        )


@given(st.lists(words, min_size=1, max_size=20), st.integers(1, 40), st.sampled_from([1, 8]))
@settings(max_examples=60, deadline=None)
def test_batches_hold_every_text_once_and_keep_to_the_budget(
    texts: list[tuple[int, ...]], budget: int, least: int
) -> None:
    batches = batching.plan_shared(texts, budget, least=least, max_rows=7)
    assert sorted(i for batch in batches for i in batch) == list(range(len(texts)))
    for batch in batches:
        assert len(batch) <= 7
        assert len(batch) == 1 or batching.distinct(texts, [batch], least=least) <= budget + least


def test_texts_of_one_query_stay_together() -> None:
    texts = [(q, *range(30, 50), r) for q in range(6) for r in range(4)]
    for batch in batching.plan_shared(texts, 60, least=1):
        assert len(batch) == 8 and all(sum(texts[i][0] == texts[j][0] for j in batch) == 4 for i in batch)


# --- reading ---------------------------------------------------------------------------------------------------------


class Case:
    """A model and prompts of which four share each query."""

    def __init__(self, folder: Path) -> None:
        self.engine: Any = backends.load(str(folder), device="cpu")
        self.asked: list[Prompt] = [prompt(query, reply) for query in QUERIES for reply in REPLIES]
        self.rows: list[Tokens] = [prompts.encode(self.engine.tokenizer, one) for one in self.asked]
        points = [point for point in self.engine.points if point != "embed"]
        self.sites = [Site(0, "embed"), *(Site(i, p) for p in points for i in range(self.engine.info.n_layers))]

    def alone(self) -> np.ndarray:
        """Each text by itself, without a cache."""
        return np.concatenate([self.engine.read([row], self.sites, POSITIONS) for row in self.rows], axis=1)


@pytest.fixture(scope="module", params=[*SHARING, "tinytalk-3m"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    if request.param not in SHARING:
        return Case(request.getfixturevalue("shared") / "models" / request.param)
    return Case(tiny.build(request.param, tmp_path_factory.mktemp(request.param)))


def computed(engine: Any, run: Any) -> int:
    """Count the tokens that the first block sees, padding included."""
    seen: list[int] = []
    handle = engine._anatomy.blocks[0].register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(_families.entering(args, kwargs).shape[:2].numel()), with_kwargs=True
    )
    run()
    handle.remove()
    return sum(seen)


def error(x: np.ndarray, y: np.ndarray) -> float:
    return float((np.linalg.norm(x - y, axis=-1) / np.linalg.norm(y, axis=-1)).max())


def test_shared_reading_is_exact_at_every_site_and_position(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    assert case.engine.unshared == ""
    want, ids = case.alone(), [row.ids for row in case.rows]
    got: list[np.ndarray] = []
    got.append(case.engine.read(case.rows, case.sites, POSITIONS))
    assert error(got[0], want) <= 1e-5
    monkeypatch.setattr(_engine, "_CPU_TREE_TOKENS", 40)
    tokens = computed(case.engine, lambda: got.append(case.engine.read(case.rows, case.sites, POSITIONS)))
    assert error(got[1], want) <= 1e-5
    assert batching.distinct(ids, [range(len(ids))]) <= tokens <= 1.2 * batching.distinct(ids, [range(len(ids))])


def test_a_whole_text_that_another_goes_on_from_is_read_too(case: Case) -> None:
    row = case.rows[1]
    long = Tokens("long", row.ids + row.ids[:70], row.prompt_length, row.spans)
    again = Tokens("again", row.ids, row.prompt_length, row.spans)
    texts = [row, long, again, case.rows[0]]
    want = np.concatenate([case.engine.read([one], case.sites, POSITIONS) for one in texts], axis=1)
    assert error(case.engine.read(texts, case.sites, POSITIONS), want) <= 1e-5


def test_no_forward_has_more_columns_than_the_context_though_long_and_short_beginnings_meet(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, some = case.engine.info.context, case.rows[1].ids
    ids = (some * context)[:context]
    long, short, ends = ids[: context - 45], ids[3:23], [(end, *ids[:49]) for end in (5, 6, 7)]
    texts = [*(long + end[:45] for end in ends), *(short + end for end in ends)]
    rows = [Tokens(str(i), one, len(one)) for i, one in enumerate(texts)]
    want = np.concatenate([case.engine.read([one], case.sites, ["last_prompt"]) for one in rows], axis=1)
    assert error(case.engine.read(rows, case.sites, ["last_prompt"]), want) <= 1e-5
    seen: list[int] = []
    mask = _tree._mask
    monkeypatch.setattr(_tree, "_mask", lambda step: (seen.append(mask(step).shape[1]), mask(step))[1])
    case.engine.read(rows, case.sites, ["last_prompt"])
    assert max(seen) <= context


def test_only_blocks_up_to_the_deepest_site_run(case: Case) -> None:
    ran: list[int] = []
    handles = [
        b.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, b in enumerate(case.engine._anatomy.blocks)
    ]
    for rows in (case.rows, case.rows[:1]):
        ran.clear()
        case.engine.read(rows, [Site(1), Site(0, "embed")], ["last_prompt"])
        assert set(ran) == {0, 1}
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("family", ALONE)
def test_models_whose_cache_forgets_say_so_and_read_text_by_text(family: str, tmp_path: Path) -> None:
    case = Case(tiny.build(family, tmp_path))
    assert "does not keep every token" in case.engine.unshared
    assert error(case.engine.read(case.rows, case.sites, POSITIONS), case.alone()) <= 1e-5
    tokens = computed(case.engine, lambda: case.engine.read(case.rows, case.sites, POSITIONS))
    assert tokens >= sum(len(row.ids) for row in case.rows)


def test_a_model_that_a_cache_changes_is_not_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = backends.load(str(tiny.build("llama", tmp_path)), device="cpu")
    plain = _pool._Layer.update

    def off(self: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        keys, values = plain(self, key, value, *args, **kwargs)
        return keys * (1.001 if self.columns.width else 1.0), values

    monkeypatch.setattr(_pool._Layer, "update", off)
    assert _tree.unshared(engine._model, engine._anatomy) == _tree.COUNTS


def test_a_recording_of_shared_texts_holds_what_each_text_alone_gives(tmp_path: Path) -> None:
    case = Case(tiny.build("llama", tmp_path / "m"))
    want = case.alone()
    for name, budget in (("a", None), ("b", 60)):
        activations.record(
            case.engine, case.asked, case.rows, sites=case.sites, positions=POSITIONS, folder=tmp_path / name,
            batch_tokens=budget,
        )  # fmt: skip
        for p, position in enumerate(POSITIONS):
            found = store.load_activations(tmp_path / name, position)
            assert found.sites == tuple(sorted(case.sites))
            assert error(found.x, want[p][:, [case.sites.index(site) for site in found.sites]]) <= 1e-5
