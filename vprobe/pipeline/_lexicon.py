"""`lexicon`: ask models for their values in their own words, and find which words go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vprobe import backends, batching, benchmarks, lexicon, prompts, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.lexicon import Elicited, Lexicon, SemanticFit
from vprobe.pipeline._again import finished
from vprobe.pipeline._common import Stage, Tell, info, load_backend, model_path, quiet
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._scorers import vectors
from vprobe.types import Count

NEW_TOKENS = 80
"""Room for a list of values."""
PLAIN = "plain"
"""Name of a respondent without a persona."""


@dataclass(frozen=True)
class _Respondent:
    """A model at one temperature under one persona."""

    name: str
    system: str
    temperature: float


def elicit(
    config: RunConfig,
    *,
    temperatures: Sequence[float] = (0.0, 0.7, 1.0),
    backend: Backend | None = None,
    tell: Tell = quiet,
) -> Stage:
    """Ask a model the fifteen questions about its values at every temperature, plain and under personas.

    Args:
        config: Model, number of personas, stop strings, output folder and seed.
        temperatures: Sampling temperatures; 0 is greedy.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: A negative temperature, more personas than there are, nothing that fits the context, or a folder
            that holds answers of other settings.
    """
    if not temperatures or any(t < 0 for t in temperatures) or len(set(temperatures)) < len(temperatures):
        raise InputError(f"{list(temperatures)}", where="--temperatures", expected="each once, none below 0")
    folder, backend = Path(config.out), backend or load_backend(config)
    who = _respondents(backend.info.name, temperatures, config.personas)
    made = info("elicit", config, backend.info, more=(("temperatures", [float(t) for t in temperatures]),))
    if finished(folder, "elicit", made, ("elicited",)):
        held = store.load_rows(folder, "elicited", Elicited)
        return _done(folder, backend, who, len(held), store.load_info(folder, "elicit").counts)
    asked = [(one, question) for one in who for question in lexicon.questions()]
    rows: list[Elicited] = []
    silent = 0
    with at_work(folder, "elicit", backend, config) as backend:
        for one in who:
            texts = _said(backend, one, config)
            silent += sum(not text for text in texts)
            rows += [
                Elicited(one.name, backend.info.name, question.id, text)
                for question, text in zip(lexicon.questions(), texts, strict=True)
            ]
            tell("elicit", len(rows), len(asked))
        counts = (Count("elicit", "no answer", backend.info.name, silent, len(rows)),) if silent else ()
        store.save_info(folder, replace(made, counts=counts), "elicit")
        store.save_rows(folder, "elicited", rows, Elicited)
    return _done(folder, backend, who, len(rows), counts)


def _done(folder: Path, backend: Backend, who: Sequence[_Respondent], n: int, counts: tuple[Count, ...]) -> Stage:
    facts = (("model", backend.info.name), ("respondents", len(who)), ("answers", n))
    return Stage("elicit", folder, facts, counts)


def _respondents(model: str, temperatures: Sequence[float], personas: int) -> tuple[_Respondent, ...]:
    there = benchmarks.personas()
    if personas > len(there):
        raise InputError(f"{personas} personas", where="--personas", expected=f"up to {len(there)}")
    systems = ((PLAIN, ""), *((one.id, one.text) for one in there[:personas]))
    return tuple(_Respondent(f"{model}/t{t:g}/{name}", text, t) for t in temperatures for name, text in systems)


def _said(backend: Backend, one: _Respondent, config: RunConfig) -> list[str]:
    """Return one respondent's answers to every question; an empty one where the context has no room."""
    rows = [
        replace(prompts.encode_text(backend.tokenizer, q.text, system=one.system), prompt_id=f"{one.name}/{q.id}")
        for q in lexicon.questions()
    ]
    room = [min(NEW_TOKENS, backend.info.context - len(row.ids)) for row in rows]
    fits = [i for i, n in enumerate(room) if n > 0]
    out = [""] * len(rows)
    sizes = [len(rows[i].ids) + NEW_TOKENS for i in fits]
    for batch in batching.plan(sizes, config.batch_tokens or backend.default_batch_tokens):
        chosen = [fits[i] for i in batch]
        written = backend.generate(
            [rows[i] for i in chosen], max_new_tokens=NEW_TOKENS, temperature=one.temperature, seed=config.seed,
            stop=config.stop,
        )  # fmt: skip
        for i, text in zip(chosen, written, strict=True):
            out[i] = text.text.strip()
    return out


def word_groups(found: Lexicon, model: str, *, device: str = "auto") -> SemanticFit:
    """Group a lexicon's terms by what a model's activations say they mean, and hold the groups against its factors.

    Args:
        found: The lexicon.
        model: Local folder or hub id of the model whose activations stand for words.
        device: Where it runs.

    Raises:
        VprobeError: An unusable model, or fewer than four terms.
    """
    words = tuple(term.word for term in found.terms)
    backend = backends.load(model_path(model), device=device)
    return lexicon.semantic(found, words, vectors(backend, words))


def build_lexicon(runs: Sequence[Path], out: Path, *, least_share: float = 0.05, seed: int = 0) -> Lexicon:
    """Build a lexicon from the answers in run folders, and write it as JSON.

    Args:
        runs: Folders that `elicit` wrote, one model each or several.
        out: The file.
        least_share: Smallest share of respondents that must name a term.
        seed: Seed of all draws.

    Raises:
        InputError: No answers, or no term that enough respondents and models share.
        StoreError: A folder without answers.
    """
    answers = [row for run in runs for row in store.load_rows(run, "elicited", Elicited)]
    found = lexicon.build(answers, least_share=least_share, seed=seed)
    lexicon.save(found, out)
    return found
