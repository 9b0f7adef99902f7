"""Claims about recording: sites, lengths, resuming after any death, and errors that say what to do."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from vprobe import activations, store
from vprobe.errors import InputError, ModelError, StoreError
from vprobe.types import Answers, Site

from tests.fake_backend import POSITIONS, SITES, FakeBackend, encode, extract, prompts

KILLS = int(os.environ.get("VPROBE_KILLS", "3"))
HERE = Path(__file__).resolve().parent


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    extract(tmp_path / "whole", FakeBackend())
    return tree(tmp_path / "whole")


# What is read.


def test_recorded_numbers_are_those_the_model_gave_in_prompt_order(tmp_path):
    backend = FakeBackend()
    extract(tmp_path, backend)
    tokens = [encode(backend.tokenizer, prompt) for prompt in prompts()]
    assert len(backend.calls) > 5
    for p, position in enumerate(POSITIONS):
        acts = store.load_activations(tmp_path, position)
        assert acts.sample_ids == tuple(prompt.id for prompt in prompts())
        assert acts.sites == SITES and acts.model == backend.info.fingerprint
        np.testing.assert_array_equal(acts.x, backend.read(tokens, SITES, POSITIONS)[p])


def test_the_index_says_what_every_row_is(tmp_path):
    extract(tmp_path, FakeBackend())
    samples = store.load_samples(tmp_path)
    for row, (sample, prompt) in enumerate(zip(samples, prompts(), strict=True)):
        tokens = encode(FakeBackend().tokenizer, prompt)
        assert (sample.row, sample.prompt_id, sample.item_id) == (row, prompt.id, prompt.item_id)
        assert (sample.group, sample.source, sample.template) == (prompt.group, prompt.source, prompt.template)
        assert (sample.n_tokens, sample.spans) == (len(tokens.ids), tokens.spans)


def test_progress_counts_tokens_and_starts_at_what_is_done(tmp_path):
    seen: list[tuple[int, int]] = []
    stopped = FakeBackend()
    stopped.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path, stopped, sync_seconds=100.0)
    extract(tmp_path, FakeBackend(), progress=lambda done, total: seen.append((done, total)))
    total = sum(len(encode(stopped.tokenizer, prompt).ids) for prompt in prompts())
    first = sum(len(encode(stopped.tokenizer, p).ids) for p in prompts() if any(p.id in call for call in stopped.calls))
    assert seen[0] == (first, total) and seen[-1] == (total, total) and first > 0


# Dying and going on.


def test_a_stopped_recording_computes_only_what_is_missing_and_ends_with_the_same_bytes(tmp_path, whole):
    first, second = FakeBackend(), FakeBackend()
    first.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path / "run", first)
    with pytest.raises(StoreError, match=r"3 of \d+ batches.*\n.*extract again"):
        store.load_activations(tmp_path / "run", "response_mean")
    assert not store.has(tmp_path / "run", "activations")
    extract(tmp_path / "run", second)
    assert not set(first.calls) & set(second.calls)
    assert tree(tmp_path / "run") == whole


def test_a_finished_recording_asks_the_model_nothing_again(tmp_path, whole):
    extract(tmp_path / "run", FakeBackend())
    again = FakeBackend()
    extract(tmp_path / "run", again)
    assert again.calls == [] and tree(tmp_path / "run") == whole


def test_kill_9_at_random_moments_then_resume_gives_the_bytes_of_an_uninterrupted_run(tmp_path, whole):
    draw = random.Random(5)
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    died = 0
    for kill in range(KILLS):
        folder = tmp_path / f"run{kill}"
        command = [sys.executable, "-m", "tests.fake_backend", str(folder), "0.08"]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        time.sleep((kill + draw.random()) / KILLS * 0.8)
        child.send_signal(signal.SIGKILL)
        died += "finished" not in child.communicate()[0]
        extract(folder, FakeBackend())
        assert tree(folder) == whole, f"kill {kill}"
    assert died >= KILLS // 2, "the child mostly finished before it was killed: the test shows nothing"


DIE = """
import os, sys, tempfile
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.fake_backend import FakeBackend, extract

left, deaths = 10**9, 0

def mortal(module, name):
    real = getattr(module, name)
    def call(*given, **named):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return real(*given, **named)
    setattr(module, name, call)

for name in ("open", "pwrite", "fsync", "posix_fallocate"):
    mortal(os, name)
for name in ("mkdir", "rename", "replace", "unlink"):
    mortal(Path, name)

def tree(folder):
    return {{str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}}

def life(folder, steps):
    "Record in a child that dies before disk call number `steps`; True when it lived."
    global left
    child = os.fork()
    if not child:
        left = steps
        extract(folder, FakeBackend(), n=7)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

shm = Path("/dev/shm")  # thousands of syncs: in memory where there is such a place
with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as root:
    whole = Path(root) / "whole"
    damaged = {damaged!r}
    assert life(whole, 10**9)
    step = 0
    while True:
        folder = Path(root) / f"run{{step}}"
        if damaged:
            assert life(folder, 10**9)
            shard = folder / "activations" / "last_prompt" / "resid_post.2.safetensors"
            if damaged == "unfinished":
                (folder / "run.json").unlink()
                journal = folder / "activations" / "journal"
                journal.write_bytes(journal.read_bytes()[:-1])
            shard.write_bytes(shard.read_bytes()[:-4] + (b"oops" if damaged == "finished" else b""))
        if life(folder, step):
            break
        deaths += 1
        extract(folder, FakeBackend(), n=7)
        assert tree(folder) == tree(whole), step
        step += 1
print(deaths)
"""


@pytest.mark.parametrize("damaged", ["", "finished", "unfinished"])
def test_dying_before_any_single_disk_call_leaves_a_run_that_resumes_to_the_same_bytes(damaged):
    script = DIE.format(root=str(HERE.parent), damaged=damaged)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 40, "too few deaths to mean anything"


# Refusals.


def in_bfloat16() -> FakeBackend:
    backend = FakeBackend()
    backend.info = dataclasses.replace(backend.info, dtype="bfloat16")
    return backend


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"backend": FakeBackend(fingerprint="b" * 64, name="other")}, "fake.*other"),
        ({"backend": in_bfloat16()}, "dtype float32, now bfloat16"),
        ({"sites": SITES[:2]}, "sites"),
        ({"positions": POSITIONS[:1]}, "positions"),
        ({"batch_tokens": 20}, "batch-tokens 48, now 20"),
        ({"n": 25}, "prompts"),
    ],
)
def test_a_folder_of_another_plan_is_refused_by_name_and_nothing_is_lost(tmp_path, changed, names):
    extract(tmp_path, FakeBackend())
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=names) as caught:
        extract(tmp_path, **({"backend": FakeBackend()} | changed))
    assert "--out" in caught.value.do
    assert tree(tmp_path) == before


def test_an_unfinished_recording_of_another_model_is_refused_too(tmp_path):
    first = FakeBackend()
    first.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path, first)
    with pytest.raises(StoreError, match=r"model fake .*now other"):
        extract(tmp_path, FakeBackend(fingerprint="b" * 64, name="other"))


def test_prompts_of_the_same_names_with_other_words_are_other_prompts(tmp_path):
    extract(tmp_path, FakeBackend())
    made = prompts(30)
    tokens = [encode(FakeBackend().tokenizer, prompt) for prompt in made]
    other = [dataclasses.replace(tokens[0], ids=(*tokens[0].ids[:-1], 5)), *tokens[1:]]
    given = {"sites": SITES, "positions": POSITIONS, "folder": tmp_path}
    activations.record(FakeBackend(), made, tokens, **given)
    with pytest.raises(StoreError, match="other settings: prompts"):
        activations.record(FakeBackend(), made, other, **given)


def test_numbers_that_are_not_finite_are_refused_with_site_and_prompt(tmp_path):
    backend = FakeBackend()
    backend.poison = ("i7:response", Site(2))
    with pytest.raises(ModelError, match=r"site resid_post\.2, position response_mean, prompt i7:response"):
        extract(tmp_path, backend)


def test_an_unknown_or_missing_position_is_refused_before_any_work(tmp_path):
    backend = FakeBackend()
    with pytest.raises(InputError, match="response_mean"):
        extract(tmp_path / "a", backend, positions=("response_means",))
    with pytest.raises(InputError, match="no options in this prompt"):
        extract(tmp_path / "b", backend, positions=("option_span",))
    assert backend.calls == [] and not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


# Sites.


@pytest.mark.parametrize(
    ("specs", "layers", "expected"),
    [
        (["resid_post:all"], "", ["resid_post.0", "resid_post.1", "resid_post.2", "resid_post.3"]),
        (["resid_post"], "2-3", ["resid_post.2", "resid_post.3"]),
        (["resid_post:3,1"], "", ["resid_post.1", "resid_post.3"]),
        (["attn_out:1-2", "embed"], "", ["embed.0", "attn_out.1", "attn_out.2"]),
        (["embed", "resid_post:all"], "3", ["embed.0", "resid_post.3"]),
        (["resid_post.2", "resid-post:2"], "all", ["resid_post.2"]),
        (["resid_post:0 attn_out:0"], "", ["attn_out.0", "resid_post.0"]),
    ],
)
def test_site_specs_expand_to_sorted_sites(specs, layers, expected):
    info = FakeBackend().info
    assert [str(site) for site in activations.expand_sites(specs, layers, info)] == expected


@pytest.mark.parametrize(
    ("specs", "layers", "error", "says"),
    [
        (["resid_pos:all"], "", InputError, "resid_post"),
        (["blocks.*.hook_resid_pots"], "", InputError, r"did you mean 'blocks\.\*\.hook_resid_post'"),
        (["resid_post:9"], "", ModelError, "layers 0 to 3"),
        (["resid_post:all"], "2-9", ModelError, "layers 0 to 3"),
        (["resid_post:3-1"], "", InputError, "3,5 or 4-12"),
        (["resid_post:x"], "", InputError, "3,5 or 4-12"),
        (["resid_post:-1"], "", InputError, "3,5 or 4-12"),
        (["resid_post:1"], "2-3", InputError, "leaves nothing"),
        ([], "", InputError, "no sites"),
        (["mlp_out:1"], "", ModelError, "cannot be read here"),
        (["embed:2"], "", InputError, "embed"),
    ],
)
def test_site_specs_that_cannot_be_meant_are_answered(specs, layers, error, says):
    with pytest.raises(error, match=says):
        activations.expand_sites(specs, layers, FakeBackend().info, ("embed", "resid_post", "attn_out"))


# Lengths.


def test_too_long_prompts_are_left_out_whole_and_counted_by_source():
    made = prompts(20)
    tokens = [encode(FakeBackend().tokenizer, prompt) for prompt in made]
    fit = activations.fits(made, tokens, 10, stage="extract")
    assert fit.kept == tuple(i for i, one in enumerate(tokens) if len(one.ids) <= 10)
    assert 0 < len(fit.kept) < 20
    assert sum(count.n for count in fit.counts) == 20 - len(fit.kept)
    assert {(count.source, count.of) for count in fit.counts} <= {("Reddit", 10), ("Abby", 10)}


def test_a_prompt_of_exactly_the_context_fits_and_options_count_with_their_longest():
    made = prompts(1)
    tokens = encode(FakeBackend().tokenizer, made[0])
    n = len(tokens.ids)
    assert activations.fits(made, [tokens], n).counts == ()
    answers = Answers(tokens, ((1,), (1, 2, 3)), ("a", "b"), (1.0, 2.0))
    assert activations.fits(made, [answers], n + 3).counts == ()
    with pytest.raises(ModelError, match=f"at least {n + 3} tokens"):
        activations.fits(made, [answers], n + 2)


def test_policy_error_says_how_many_and_nothing_fitting_is_an_error_under_both():
    made = prompts(20)
    tokens = [encode(FakeBackend().tokenizer, prompt) for prompt in made]
    with pytest.raises(InputError, match=r"of 20 prompts .*Reddit \d+ of 10"):
        activations.fits(made, tokens, 10, policy="error")
    assert activations.fits(made, tokens, 99, policy="error").kept == tuple(range(20))
    for policy in activations.POLICIES:
        with pytest.raises(ModelError, match="none of the 20"):
            activations.fits(made, tokens, 1, policy=policy)
    with pytest.raises(InputError, match="skip"):
        activations.fits(made, tokens, 10, policy="skp")
