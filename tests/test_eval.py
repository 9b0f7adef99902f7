"""A steered model answers lm-evaluation-harness as the harness' own model with the vector added by hand does.

What needs the harness itself (`pip install 'vprobe[eval]'`) is left out where it is not installed.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from vprobe import __main__ as front
from vprobe import exports, pipeline, steering
from vprobe.backends import hf
from vprobe.config import RunConfig
from vprobe.errors import InputError, ModelError
from vprobe.pipeline import _harness
from vprobe.pipeline._harness import Asker
from vprobe.types import Steering

from tests import tiny

torch.set_num_threads(1)
HARNESS = importlib.util.find_spec("lm_eval") is not None
needs_harness = pytest.mark.skipif(not HARNESS, reason="lm-evaluation-harness is not installed")
quiet = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("llama", tmp_path_factory.mktemp("eval"), context=256)


@pytest.fixture(scope="module")
def engine(folder: Path):
    return hf.load(str(folder), device="cpu")


@pytest.fixture(scope="module")
def bare(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def vector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vector") / "vec_layer_1_tiny.pt"
    torch.save(torch.tensor(np.random.default_rng(1).standard_normal(tiny.D_MODEL), dtype=torch.float32), path)
    return path


def change(vector: Path, size: float = 6.0) -> Steering:
    return Steering(steering.load("add"), exports.read(vector)[0], size)


@contextmanager
def by_hand(bare, vector: Path, size: float) -> Iterator[None]:
    """Add the vector to the output of block 1 of a model of transformers."""
    given = torch.load(vector)
    moved = size * given / given.norm()
    handle = bare.model.layers[1].register_forward_hook(lambda m, a, out: out + moved)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def test_likelihoods_and_greedy_answers_are_those_of_one_bare_forward_each(engine, bare, vector: Path) -> None:
    rng = np.random.default_rng(0)
    contexts = [tuple(rng.integers(20, 200, n).tolist()) for n in (5, 9, 3)]
    for size in (0.0, 6.0):
        asker = Asker(engine, [change(vector, size)] if size else [])
        with by_hand(bare, vector, size):
            likeliest = [int(bare(torch.tensor([c])).logits[0, -1].argmax()) for c in contexts]
            pairs = [(c, (int(rng.integers(20, 200)), 30)) for c in contexts for _ in range(2)]
            pairs += [(c, (best,)) for c, best in zip(contexts, likeliest, strict=True)]
            wanted = []
            for context, follows in pairs:
                logits = bare(torch.tensor([context + follows])).logits[0].double().log_softmax(-1)
                steps = logits[len(context) - 1 : -1]
                greedy = steps.argmax(-1).tolist() == list(follows)
                wanted.append((float(sum(row[t] for row, t in zip(steps, follows, strict=True))), greedy))
        found = asker.likelihoods(pairs)
        np.testing.assert_allclose([x for x, _ in found], [x for x, _ in wanted], atol=1e-4)
        assert [same for _, same in found] == [same for _, same in wanted]
        assert all(same for _, same in found[-3:])
    assert asker.likelihoods([(contexts[0], ())]) == [(0.0, True)]


def test_answers_end_before_a_stop_sequence_and_requests_beyond_the_context_are_refused(engine, vector: Path) -> None:
    asker = Asker(engine, [change(vector)])
    whole = asker.texts([tuple(asker.encode("say hi"))], most=12, temperature=0.0, seed=0)[0]
    stop = whole[len(whole) // 2]
    asked = [("say hi", {"until": [stop], "max_gen_toks": 12}), ("say hi", {"max_gen_toks": 12})]
    assert _harness._until(asker, asked, 0) == [whole.split(stop)[0], whole]
    with pytest.raises(ModelError, match=r"1 of 2 requests are longer than the context of 256[\s\S]*--fewshot"):
        asker.likelihoods([((1,) * 250, (2,) * 10), ((1,), (2,))])


def test_the_harness_is_asked_for_where_it_is_missing(folder: Path, vector: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.evaluator", None)
    config = RunConfig(model=str(folder), steer_vector=str(vector))
    with pytest.raises(InputError, match=r"not installed[\s\S]*vprobe\[eval\]"):
        pipeline.steer_eval(None, config, pipeline.Tasks(("mine",)), value="", strength=0.1)
    with pytest.raises(InputError, match="at least one task"):
        pipeline.Tasks(())


# --- with the harness ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tasks of our own on local files: options, perplexity and free answers."""
    place = tmp_path_factory.mktemp("tasks")
    said = ("hi", "no", "go", "yes", "help", "sorry")
    rows = [{"q": f"my friend says {word}. what now?", "good": n % 2} for n, word in enumerate(said)]
    (place / "rows.json").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    head = f"dataset_path: json\ndataset_kwargs:\n  data_files: {{test: {place / 'rows.json'}}}\ntest_split: test\n"
    (place / "options.yaml").write_text(
        "task: own_options\n" + head + "output_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_target: good\n"
        "doc_to_choice: [' be kind', ' go on then']\nmetric_list:\n  - metric: acc\n  - metric: acc_norm\n"
    )
    (place / "whole.yaml").write_text(
        "task: own_whole\n" + head + "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{q}}'\n"
        "metric_list:\n  - metric: word_perplexity\n"
    )
    (place / "free.yaml").write_text(
        "task: own_free\n" + head + "output_type: generate_until\ndoc_to_text: '{{q}}'\ndoc_to_target: 'a'\n"
        "generation_kwargs: {until: ['e'], max_gen_toks: 8, do_sample: false}\nmetric_list:\n  - metric: exact_match\n"
    )
    return place


NAMES = ("own_options", "own_whole", "own_free")


@needs_harness
@quiet
def test_base_and_steered_are_the_harness_own_model_without_and_with_the_vector(
    folder: Path, bare, engine, vector: Path, tasks: Path, monkeypatch, tmp_path: Path
) -> None:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    config = RunConfig(model=str(folder), steer_vector=str(vector))
    rows = pipeline.steer_eval(None, config, pipeline.Tasks(NAMES, tasks), value="power", strength=0.5, backend=engine)
    assert {row.task for row in rows} == set(NAMES) and {row.n for row in rows} == {6}
    for size, side in ((0.0, "base"), (rows[0].coefficient, "steered")):
        with warnings.catch_warnings(), by_hand(bare, vector, size):
            warnings.simplefilter("ignore")
            theirs = simple_evaluate(
                model=HFLM(pretrained=bare, tokenizer=engine.tokenizer, batch_size=2), tasks=list(NAMES),
                task_manager=TaskManager(include_path=str(tasks)), bootstrap_iters=0,
            )["results"]  # fmt: skip
        for row in rows:
            assert math.isclose(getattr(row, side), theirs[row.task][f"{row.metric},none"], rel_tol=1e-4), row
    assert {row.metric for row in rows} >= {"acc", "acc_norm", "word_perplexity", "exact_match"}
    one = next(row for row in rows if row.metric == "acc")
    assert math.isclose(one.base_se, math.sqrt(one.base * (1 - one.base) / 5))
    assert all(math.isnan(row.low) or row.low <= row.change <= row.high for row in rows)
    assert math.isnan(next(row.low for row in rows if row.metric == "word_perplexity"))
    assert any(row.change for row in rows) and {row.value for row in rows} == {"power"}


@needs_harness
@quiet
def test_the_command_prints_one_table(folder: Path, vector: Path, tasks: Path, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    asked = ["vprobe", "steer", "eval", "--model", str(folder), "--vector", str(vector), "--task-folder", str(tasks),
             "--limit", "3"]  # fmt: skip
    for words, code in ((["--tasks", "own_options"], 0), (["--tasks", "no_such_task"], 1)):
        monkeypatch.setattr(sys, "argv", [*asked, *words])
        try:
            front.main()
            done = 0
        except SystemExit as error:
            done = int(error.code or 0)
        said = capsys.readouterr()
        assert done == code and "Traceback" not in said.err
        if not code:
            assert "own_options" in said.out and "acc_norm" in said.out and "paired t over documents" in said.out
        else:
            assert "no task no_such_task" in said.err
