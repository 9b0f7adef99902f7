"""A steered model as lm-evaluation-harness asks it: likelihoods of continuations, of whole texts, and free answers.

Requests beyond the model's context are refused, never cut: a cut question is another question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from vprobe import batching
from vprobe.backends import Backend
from vprobe.errors import InputError, ModelError
from vprobe.types import Answers, Steering, Tokens

LONGEST = 256
"""New tokens of an answer where a task sets no limit."""
Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""Tokens of a context and of what follows it."""


@final
class Asker:
    """Scores and continues texts, always under the same changes.

    Args:
        backend: The model.
        changes: Made while it runs; none for the base model.
    """

    def __init__(self, backend: Backend, changes: Sequence[Steering] = ()) -> None:
        self._backend, self._changes = backend, tuple(changes)
        self.tokenizer = backend.tokenizer

    def encode(self, text: str, *, special: bool | None = None) -> list[int]:
        """Return a text's token ids; None adds special tokens unless the text begins with the first of them.

        Args:
            text: The text.
            special: Whether special tokens are added.
        """
        begins = self.tokenizer.bos_token
        add = not (begins and text.startswith(begins)) if special is None else special
        return list(self.tokenizer.encode(text, add_special_tokens=add))

    @property
    def start(self) -> int:
        """The token that stands before a text without context."""
        words = self.tokenizer
        return int(words.eos_token_id if words.bos_token_id is None else words.bos_token_id)

    @property
    def room(self) -> int:
        """Tokens of a window of a longer text, the one before it left out."""
        return self._backend.info.context - 1

    def likelihoods(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """Return per pair the log-probability of what follows the context, and whether the model would say just that.

        Contexts that come several times, as with the options of one question, run once.

        Args:
            pairs: Contexts of at least one token, with what follows.

        Raises:
            ModelError: A pair beyond the model's context.
        """
        self._fit([len(context) + len(follows) for context, follows in pairs])
        options: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for context, follows in pairs:
            some = options.setdefault(context, [])
            if follows and follows not in some:
                some.append(follows)
        found: dict[Pair, tuple[float, bool]] = {}
        rows = [
            Answers(self._row(i, context), tuple(some), ("",) * len(some), (0.0,) * len(some))
            for i, (context, some) in enumerate(options.items())
            if some
        ]
        lengths = [len(one.prompt.ids) + sum(map(len, one.options)) for one in rows]
        for batch in batching.plan(lengths, self._backend.default_batch_tokens):
            part = [rows[i] for i in batch]
            chosen = self._backend.choose(part, steering=self._changes)
            likeliest = self._greedy(part)
            for row, logs, said in zip(part, chosen, likeliest, strict=True):
                for follows, log in zip(row.options, logs, strict=True):
                    found[row.prompt.ids, follows] = (float(log), self._same(said, follows))
        return [found.get((context, follows), (0.0, True)) for context, follows in pairs]

    def texts(
        self, asked: Sequence[tuple[int, ...]], *, most: int, temperature: float, seed: int, stop: Sequence[str] = ()
    ) -> list[str]:
        """Continue texts until the model ends its turn, writes a stop string or has written enough.

        Args:
            asked: Token ids.
            most: Most new tokens.
            temperature: 0 is greedy.
            seed: Of the sampling.
            stop: Stop strings.

        Raises:
            ModelError: A text that leaves no room for an answer of that length.
        """
        self._fit([len(ids) + most for ids in asked])
        rows, out = [self._row(i, ids) for i, ids in enumerate(asked)], [""] * len(asked)
        for batch in batching.plan([len(ids) + most for ids in asked], self._backend.default_batch_tokens):
            wrote = self._backend.generate(
                [rows[i] for i in batch], max_new_tokens=most, temperature=temperature, seed=seed,
                steering=self._changes, stop=stop,
            )  # fmt: skip
            for i, one in zip(batch, wrote, strict=True):
                out[i] = one.text
        return out

    def _greedy(self, rows: Sequence[Answers]) -> list[tuple[int, ...]]:
        most = max(len(option) for row in rows for option in row.options)
        wrote = self._backend.generate([row.prompt for row in rows], max_new_tokens=most, steering=self._changes)
        return [one.ids + ((self.tokenizer.eos_token_id,) if one.stopped else ()) for one in wrote]

    def _same(self, said: tuple[int, ...], follows: tuple[int, ...]) -> bool:
        return said[: len(follows)] == follows

    def _row(self, number: int, ids: tuple[int, ...]) -> Tokens:
        return Tokens(f"request {number}", ids, len(ids))

    def _fit(self, lengths: Sequence[int]) -> None:
        context = self._backend.info.context
        beyond = [length for length in lengths if length > context]
        if beyond:
            raise ModelError(
                f"{len(beyond)} of {len(lengths)} requests are longer than the context of {context} tokens "
                f"(the longest: {max(beyond)})",
                where="steer eval", expected="requests that fit whole: cut ones would be other questions",
                do="give fewer examples (--fewshot 0), leave the task out, or take a model with a longer context",
            )  # fmt: skip


def adapter(asker: Asker, *, seed: int = 0) -> Any:
    """Return a model in the shape lm-evaluation-harness calls.

    Args:
        asker: Scores and continues.
        seed: Of tasks that sample.

    Raises:
        InputError: lm-evaluation-harness is not installed.
    """
    harness = library("lm_eval.api.model")
    windows = library("lm_eval.utils")

    class Steered(harness.TemplateLM):
        """The steered model; the harness' own base class splits contexts from continuations."""

        tokenizer = asker.tokenizer
        tokenizer_name = "vprobe"
        eot_token_id = property(lambda self: asker.tokenizer.eos_token_id)
        prefix_token_id = property(lambda self: asker.start)

        def tok_encode(self, string: str, add_special_tokens: bool | None = None) -> list[int]:
            return asker.encode(string, special=add_special_tokens)

        def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            return asker.likelihoods([(tuple(context), tuple(follows)) for _, context, follows in requests])

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            parts = [
                [windows.make_disjoint_window(pair) for pair in windows.get_rolling_token_windows(
                    self.tok_encode(one.args[0]), asker.start, asker.room, 1)]
                for one in requests
            ]  # fmt: skip
            scored = iter(asker.likelihoods([(tuple(a), tuple(b)) for part in parts for a, b in part]))
            return [sum(next(scored)[0] for _ in part) for part in parts]

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return _until(asker, [one.args for one in requests], seed)

        def apply_chat_template(self, chat_history: Any, add_generation_prompt: bool = True) -> str:
            return asker.tokenizer.apply_chat_template(
                chat_history, tokenize=False, add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )  # fmt: skip

    return Steered()


def _until(asker: Asker, requests: Sequence[tuple[str, dict[str, Any]]], seed: int) -> list[str]:
    """Answer requests of the same settings together, and end each answer before its first stop sequence."""
    out = [""] * len(requests)
    groups: dict[tuple[int, float, tuple[str, ...]], list[int]] = {}
    for i, (_, asked) in enumerate(requests):
        limits = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
        most = next((int(asked[name]) for name in limits if asked.get(name) is not None), LONGEST)
        heat = float(asked.get("temperature") or 0.0) if asked.get("do_sample") else 0.0
        until = asked.get("until") or []
        stop = tuple(one for one in ([until] if isinstance(until, str) else until) if one)
        groups.setdefault((most, heat, stop), []).append(i)
    for (most, heat, stop), members in groups.items():
        ids = [tuple(asker.encode(requests[i][0])) for i in members]
        wrote = asker.texts(ids, most=most, temperature=heat, seed=seed, stop=stop)
        for i, text in zip(members, wrote, strict=True):
            out[i] = text
    return out


def library(name: str) -> Any:
    """Import a part of lm-evaluation-harness.

    Args:
        name: The module.

    Raises:
        InputError: It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"lm-evaluation-harness is not installed: {error}", where="steer eval", do="pip install 'vprobe[eval]'"
        ) from error
