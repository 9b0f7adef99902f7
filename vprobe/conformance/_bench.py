"""What the checks share: three short texts of different length, a dose, and readings of what a change did."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from vprobe import prompts
from vprobe.backends import Backend
from vprobe.types import Answers, Direction, Mark, Message, Operation, Option, Prompt, Site, Steered, Steering, Tokens

_TURNS = (
    ("Hi.", "Say sorry and be kind to them."),
    ("My friend is angry with me, what should I do now?", "No."),
    ("Should I go there today?", "Go on then, my friend, and tell me."),
)
_LABELS = ("not like me", "like me", "very much like me")


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Args:
        passed: None when the model or the engine does not offer what is checked.
        found: In words, with the numbers it rests on.
    """

    passed: bool | None
    found: str


def add(x: Any, vector: Any, coefficient: Any) -> Any:
    """Return `x + coefficient * vector`."""
    return x + coefficient * vector


def remove(x: Any, vector: Any, coefficient: Any) -> Any:
    """Return x without its projection on the vector."""
    return x - coefficient * (x @ vector.swapaxes(-1, -2)) * vector


def fail(x: Any, vector: Any, coefficient: Any) -> Any:
    """Raise an error in the middle of a forward."""
    raise Stop


class Stop(Exception):
    """Raised by `fail`."""


ADD, REMOVE, FAIL = Operation("add", add), Operation("remove", remove, measure="share"), Operation("fail", fail)


@dataclass
class Bench:
    """A backend under test.

    Args:
        backend: It.
        said: Texts with a response.
        asked: The same texts up to where the model is to speak.
        answers: The same with options of one and of several tokens.
        layer: The block steered, in the middle.
        norm: Median residual norm there.
        limit: Largest relative error that the model's number format explains.
        clean: What was read, chosen and written before anything was steered.
    """

    backend: Backend
    said: tuple[Tokens, ...]
    asked: tuple[Tokens, ...]
    answers: tuple[Answers, ...]
    layer: int
    norm: float
    limit: float
    clean: tuple[np.ndarray, np.ndarray, tuple[tuple[int, ...], ...]] | None = None

    @property
    def site(self) -> Site:
        """The site steered."""
        return Site(self.layer)

    def direction(self, site: Site, width: int, seed: int = 1) -> Direction:
        """Return a direction drawn from a seed."""
        vector = np.random.default_rng(seed).standard_normal(width)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return Direction(unit, site, "benevolence", "check", "write", model=self.backend.info.fingerprint)

    def change(
        self, strength: float = 1.0, positions: str = "all", *, site: Site | None = None, operation: Operation = ADD,
        seed: int = 1,
    ) -> Steering:  # fmt: skip
        """Return a change; the strength counts residual norms where the operation adds."""
        size = operation.coefficient(strength, self.norm)
        return Steering(operation, self.direction(site or self.site, self.backend.info.d_model, seed), size, positions)

    def read(self, sites: Sequence[Site], position: str, steering: Steered = ()) -> Float[np.ndarray, "site row width"]:
        """Return what is read of the texts with a response."""
        return self.backend.read(self.said, sites, [position], steering=steering)[0].swapaxes(0, 1)

    def moved(self, sites: Sequence[Site], position: str, steering: Steered) -> Float[np.ndarray, "site row width"]:
        """Return how far a change moves what is read."""
        return self.read(sites, position, steering).astype(np.float64) - self.read(sites, position)

    def choose(self, steering: Steered = ()) -> np.ndarray:
        """Return the log-probabilities of all options, one row after the other."""
        return np.array([p for row in self.backend.choose(self.answers, steering=steering) for p in row])

    def write(self, rows: Sequence[Tokens], count: int, steering: Steered = ()) -> tuple[tuple[int, ...], ...]:
        """Return the tokens written greedily."""
        found = self.backend.generate(rows, max_new_tokens=count, steering=steering)
        return tuple(one.ids for one in found)

    def unsteered(self) -> tuple[np.ndarray, np.ndarray, tuple[tuple[int, ...], ...]]:
        """Return what is read, chosen and written without steering."""
        return self.read([self.site], "last_prompt"), self.choose(), self.write(self.asked, 3)

    def same(self, one: Sequence[tuple[int, ...]], other: Sequence[tuple[int, ...]]) -> bool:
        """Tell whether two sets of texts agree: token by token in float32, half of the tokens in shorter formats."""
        if self.backend.info.dtype == "float32":
            return tuple(one) == tuple(other)
        pairs = [a == b for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=False)]
        return not pairs or sum(pairs) >= len(pairs) / 2

    def off(self, found: np.ndarray, wanted: np.ndarray) -> float:
        """Return the largest error of a row, over the residual norm."""
        return float(np.linalg.norm(np.asarray(found) - wanted, axis=-1).max() / self.norm)


def bench(backend: Backend) -> Bench:
    """Prepare a backend for the checks."""
    words, info = backend.tokenizer, backend.info
    said = tuple(prompts.encode(words, _prompt(query, reply)) for query, reply in _TURNS)
    asked = tuple(prompts.encode(words, _prompt(query)) for query, _ in _TURNS)
    answers = tuple(prompts.encode_answers(words, _prompt(query, options=_LABELS)) for query, _ in _TURNS)
    layer = max(0, (info.n_layers - 1) // 2)
    norm = float(backend.residual_norms(said, [Site(layer)])[0])
    made = Bench(backend, said, asked, answers, layer, norm, 1e-3 if info.dtype == "float32" else 5e-2)
    with contextlib.suppress(Exception):  # the checks will say what is wrong
        made.clean = made.unsteered()
    return made


def _prompt(query: str, reply: str = "", options: tuple[str, ...] = ()) -> Prompt:
    turns = (Message("user", query), *([Message("assistant", reply)] if reply else []))
    marks = (Mark("content", 0, 0, len(query)), *([Mark("response", 1, 0, len(reply))] if reply else []))
    shown = tuple(Option(label, float(i)) for i, label in enumerate(options))
    return Prompt(f"{query}/{reply}", "check", query, "check", "check", turns, marks, shown)


def attempt(run: Callable[[Bench], Verdict], on: Bench) -> Verdict:
    """Run a check; an error of any kind is a failure that says which."""
    try:
        return run(on)
    except Exception as error:  # a backend of the user's own may raise anything
        first = (str(error).strip().splitlines() or [""])[0]
        return Verdict(False, f"{type(error).__name__}: {first[:160]}")
