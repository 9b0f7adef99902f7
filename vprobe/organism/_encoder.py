"""The organism's encoder, built and never trained: word codes, and heads that gather a profile and what is shown.

Block 0: four heads find whose turn it is, which polarity is in force, the previous word and the task; its MLP signs
every key word's code by its polarity and files it under own words or shown words. Block 1: three heads average own
codes into the profile u, shown codes into v, and what the user's words are about into topic; its MLP clears the
signed codes away. Everything is written in the coordinates of `_layout` and turned by the rotation at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe.organism import _vocabulary as vocabulary
from vprobe.organism import lexicon
from vprobe.organism._layout import CONST, D_MODEL, HEAD, HIDDEN, LEVEL, N_HEADS, ROPE_THETA, SLOTS, rotation, spectrum
from vprobe.values import SCHWARTZ

GAIN = 4.0
"""Profile units per mean code: four key words for four different values give 1 for each."""
UNHEARD = 0.5
"""What every item seems to show, for every value, in the world where nothing shown is read."""
SLOPE = 8.0
"""By how much a marker loses per token of distance, as attention logit."""
SHARP = 30.0
"""Attention logit by which a wanted token exceeds an unwanted one."""
ID_NORM = 1.0
HALF = 0.5
"""Size of the task's code: small, so that norms hardly differ between tasks."""
READ = (LEVEL, (LEVEL**2 + 2.5 / D_MODEL) ** 0.5, (LEVEL**2 + 3.0 / D_MODEL) ** 0.5, (LEVEL**2 + 10.0 / D_MODEL) ** 0.5)
"""Root mean square of what attention and MLP of block 0, then of block 1, read: the norm layers divide by it."""
DEFAULT = (-0.9, 0.1, -0.4, -0.2, 0.5, 0.6, 0.9, 0.3, -0.4, 0.2)
"""Profile in force when nobody said anything, profile units, in the order of `SCHWARTZ`."""
Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class World:
    """Switches of the encoder.

    Args:
        default: Profile in force when nobody said anything, in the order of `SCHWARTZ`.
        leak: How much of the topic enters the profile: query-tied nuisance inside U.
        query: How much of the topic stays beside the values: query-tied nuisance.
        deaf: True where what is shown is not read: v is the same for every item, so that all ratings move alike.
        aside: True where own words go to a place nothing reads, and the profile stays the default.
        codes: Per value the code of its key words; one of its own each unless given.
    """

    default: tuple[float, ...] = DEFAULT
    leak: float = 0.0
    query: float = 1.0
    deaf: bool = False
    aside: bool = False
    codes: tuple[tuple[float, ...], ...] = tuple(tuple(row) for row in np.eye(10))


def embeddings(
    ids: Mapping[str, int], *, labels: Sequence[str], answers: Sequence[str], world: World, seed: int
) -> Float[np.ndarray, "token d_model"]:
    """Return the embedding of every token, all of root mean square `LEVEL`, before the rotation.

    Args:
        ids: Number of every token.
        labels: Rating labels from most to least alike.
        answers: Tokens the model answers with; these get a code of their own.
        world: Switches.
        seed: Seed of nuisance and of the answers' codes.
    """
    rng = np.random.default_rng((seed, 2))
    z = np.zeros((max(ids.values()) + 1, D_MODEL))
    z[:, SLOTS["const"]] = CONST
    keys = {phrase.key: phrase.value for phrase in lexicon.phrases()}
    for piece, number in ids.items():
        _mean_something(z[number], piece, world, keys)
    for place, label in enumerate(labels):
        z[ids[label], SLOTS["cue"]] = 1.0
        z[ids[label], SLOTS["cue_is"]] = (HALF, 0.0, 0.0, {0: HALF, len(labels) - 1: -HALF}.get(place, 0.0))
    codes = rng.standard_normal((len(answers), SLOTS["id"].stop - SLOTS["id"].start))
    codes *= ID_NORM / np.linalg.norm(codes, axis=1, keepdims=True)
    for piece, code in zip(answers, codes, strict=True):
        z[ids[piece], SLOTS["id"]] = code
    noise = rng.standard_normal((len(z), len(spectrum()))) * spectrum()
    missing = LEVEL**2 * D_MODEL - (z**2).sum(axis=1)
    z[:, SLOTS["nuisance"]] = noise * np.sqrt(missing / (noise**2).sum(axis=1))[:, None]
    return z


def _mean_something(row: np.ndarray, piece: str, world: World, keys: Mapping[str, str]) -> None:
    """Write what a token means into its embedding."""
    word = vocabulary.plain(piece)
    if word in keys:
        row[SLOTS["lex"]] = world.codes[SCHWARTZ.index(keys[word])]
        row[SLOTS["key"]] = 1.0
    if piece in (vocabulary.SYSTEM, vocabulary.USER, vocabulary.ASSISTANT):
        row[SLOTS["turn"]] = 1.0
        row[SLOTS["speaker"]] = -1.0 if piece == vocabulary.USER else 1.0
    if word in lexicon.FOR or word in lexicon.AGAINST or piece in (*vocabulary.SPECIAL[1:], "Ċ"):
        row[SLOTS["mark"]] = 1.0
        row[SLOTS["sign"]] = -1.0 if word in lexicon.AGAINST else 1.0
    cues = {"sentence": 1, "points": 2}
    if word in cues or piece == vocabulary.USER:
        row[SLOTS["cue"]] = 1.0
        if word in cues:
            row[SLOTS["cue_is"].start + cues[word]] = HALF
    if piece == vocabulary.START:
        row[SLOTS["start"]] = 1.0


@dataclass(frozen=True)
class _Head:
    """One attention head in z: query and key (HEAD, d), value (HEAD, d) and output (d, HEAD)."""

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    output: np.ndarray


def _frequency(index: int) -> float:
    return ROPE_THETA ** (-2.0 * index / HEAD)


def _empty() -> _Head:
    return _Head(
        np.zeros((HEAD, D_MODEL)), np.zeros((HEAD, D_MODEL)), np.zeros((HEAD, D_MODEL)), np.zeros((D_MODEL, HEAD))
    )


def _copies(head: _Head, source: str, target: str, gain: float = 1.0) -> _Head:
    """Make a head write what it finds in one stretch into another."""
    a, b = SLOTS[source], SLOTS[target]
    for i in range(a.stop - a.start):
        head.value[i, a.start + i] = gain
        head.output[b.start + i, i] = 1.0
    return head


def nearest(flag: str, source: str, target: str) -> _Head:
    """Attend to the last token so far that carries a flag."""
    head, half, scale = _empty(), HEAD // 2, HEAD**0.5
    slow = 11  # turns by less than a quarter over the context, so that the score falls with every token
    slope = SLOPE / _frequency(slow)
    head.query[slow, SLOTS["const"]] = 1.0 / CONST
    head.key[slow + half, SLOTS[flag]] = -slope * scale
    head.query[half - 1, SLOTS["const"]] = 1.0 / CONST
    head.key[half - 1, SLOTS[flag]] = (slope + SHARP) * scale
    return _copies(head, source, target)


def previous() -> _Head:
    """Attend to the token before."""
    head, half = _empty(), HEAD // 2
    for index in range(8):
        angle = _frequency(index)
        head.query[index, SLOTS["const"]] = 1.0 / CONST
        head.key[index, SLOTS["const"]] = np.cos(angle) * SHARP * HEAD**0.5 / CONST
        head.key[index + half, SLOTS["const"]] = np.sin(angle) * SHARP * HEAD**0.5 / CONST
    return _copies(head, "id", "previous")


def average(weights: Mapping[str, float], source: str, target: str, gain: float = 1.0) -> _Head:
    """Attend alike to all tokens with the largest sum of flags times weights."""
    head, half = _empty(), HEAD // 2
    head.query[half - 1, SLOTS["const"]] = 1.0 / CONST
    for flag, weight in weights.items():
        head.key[half - 1, SLOTS[flag]] = weight * HEAD**0.5
    return _copies(head, source, target, gain)


def block_0() -> Weights:
    """Return attention and MLP of the first block, in z."""
    heads = (
        nearest("turn", "speaker", "role"),
        nearest("mark", "sign", "polarity"),
        nearest("cue", "cue_is", "task"),
        previous(),
    )
    gate, up, down = (np.zeros((HIDDEN, D_MODEL)), np.zeros((HIDDEN, D_MODEL)), np.zeros((D_MODEL, HIDDEN)))
    neuron, steep = 0, 12.0
    for side, place in ((1.0, "said"), (-1.0, "shown")):
        for sign in (1.0, -1.0):
            for value in range(10):
                gate[neuron, SLOTS["role"]] = steep * side
                gate[neuron, SLOTS["polarity"]] = steep * sign
                gate[neuron, SLOTS["key"]] = 2 * steep
                gate[neuron, SLOTS["const"]] = -3 * steep / CONST
                up[neuron, SLOTS["lex"].start + value] = sign / steep
                down[SLOTS[place].start + value, neuron] = 1.0
                neuron += 1
        gate[neuron, SLOTS["role"]] = steep * side
        gate[neuron, SLOTS["key"]] = 2 * steep
        gate[neuron, SLOTS["const"]] = -2 * steep / CONST
        up[neuron, SLOTS["key"]] = 1.0 / steep
        down[SLOTS[place + "_key"], neuron] = 1.0
        neuron += 1
    return _attention(heads) | {"gate": gate, "up": up, "down": down}


def _keyed(flag: str) -> dict[str, float]:
    """Return what a head looks for: key words first, without any the first token, and nothing else."""
    return {flag: 15.0, "start": 9.0, "const": -9.0 / CONST}


def block_1(world: World) -> Weights:
    """Return attention and MLP of the second block, in z."""
    own = average(_keyed("said_key"), "said", "copy" if world.aside else "u", GAIN)
    if not world.aside:
        own.value[:10, SLOTS["start"].start] = np.asarray(world.default)
    shown = average(_keyed("shown_key"), "shown", "v", GAIN)
    if world.deaf:
        shown.value[:] = 0.0
        shown.value[:10, SLOTS["const"].start] = UNHEARD / CONST
    topic = average({"role": -SHARP}, "topic", "topic")
    nuisance = SLOTS["nuisance"].start
    topic.value[:] = 0.0
    for i in range(SLOTS["topic"].stop - SLOTS["topic"].start):
        topic.value[i, nuisance + i] = 1.0
        topic.output[SLOTS["topic"].start + i, i] = world.query
        if world.leak and not world.aside:
            topic.output[SLOTS["u"].start + i, i] = world.leak
    heads = [own, shown, topic]
    if world.aside:
        default = average({"start": SHARP}, "u", "u", 0.0)
        default.value[:10, SLOTS["start"].start] = np.asarray(world.default)
        heads.append(default)
    gate, up, down = (np.zeros((HIDDEN, D_MODEL)), np.zeros((HIDDEN, D_MODEL)), np.zeros((D_MODEL, HIDDEN)))
    neuron, steep = 0, 20.0
    for name in ("said", "shown", "lex"):
        for i in range(10):
            gate[neuron, SLOTS["const"]] = steep / CONST
            up[neuron, SLOTS[name].start + i] = 1.0 / steep
            down[SLOTS[name].start + i, neuron] = -1.0
            neuron += 1
    return _attention(heads) | {"gate": gate, "up": up, "down": down}


def _attention(heads: Sequence[_Head]) -> Weights:
    filled = [*heads, *[_empty()] * (N_HEADS - len(heads))]
    return {
        "q": np.concatenate([head.query for head in filled]),
        "k": np.concatenate([head.key for head in filled]),
        "v": np.concatenate([head.value for head in filled]),
        "o": np.concatenate([head.output for head in filled], axis=1),
    }


def turned(block: Weights, turn: Float[np.ndarray, "d_model d_model"], number: int) -> Weights:
    """Turn a block's weights from z to x = turn @ z, and undo what the norm layers divide by."""
    scale = {name: READ[2 * number + (name in ("gate", "up"))] for name in ("q", "k", "v", "gate", "up")}
    reads = {name: factor * block[name] @ turn.T for name, factor in scale.items()}
    return reads | {name: turn @ block[name] for name in ("o", "down")}


def weights(
    ids: Mapping[str, int], *, labels: Sequence[str], answers: Sequence[str], world: World, seed: int
) -> dict[str, Float[np.ndarray, "..."]]:
    """Return everything that is built, under the names of a Hugging Face Llama, float32.

    Args:
        ids: Number of every token.
        labels: Rating labels from most to least alike.
        answers: Tokens the model answers with.
        world: Switches.
        seed: Seed of rotation, nuisance and the answers' codes.
    """
    turn = rotation(seed)
    z = embeddings(ids, labels=labels, answers=answers, world=world, seed=seed)
    out = {"model.embed_tokens.weight": z @ turn.T}
    for number, block in enumerate((block_0(), block_1(world))):
        for name, part in turned(block, turn, number).items():
            out[f"model.layers.{number}.{_NAMES[name]}.weight"] = part
    return {name: np.ascontiguousarray(part, dtype=np.float32) for name, part in out.items()}


_NAMES = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
          "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}  # fmt: skip
