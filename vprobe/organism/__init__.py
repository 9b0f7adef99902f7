"""The organism: a small language model whose values we planted, so that every estimate can be set beside the truth."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from vprobe import benchmarks
from vprobe.benchmarks._wordings import message_templates
from vprobe.errors import DataError
from vprobe.organism import _encoder as encoder
from vprobe.organism import _vocabulary as vocabulary
from vprobe.organism._asks import asks
from vprobe.organism._behavior import Behavior
from vprobe.organism.card import GAIN, Card
from vprobe.organism.card import planted as planted_card
from vprobe.organism.card import read as read_card
from vprobe.organism.card import save as save_card
from vprobe.organism.items import Drawn, Speaker, draw, speakers
from vprobe.organism.worlds import WORLDS, World
from vprobe.organism.worlds import find as find_world

__all__ = ["NAME", "SEED", "WORLDS", "Card", "Drawn", "Speaker", "World", "asks", "draw", "find_world", "load",
           "read_card", "speakers"]  # fmt: skip

NAME = "organism"
"""What to give as `--model` for the model that ships with vprobe."""
SEED = 0
"""Seed the shipped weights were made with."""
SPEAKERS_SEED, N_SPEAKERS = 48, 48
"""The persona prompts of every truth card."""
HOME = Path(__file__).parent / "vprobe-organism"


def load(world: str = "good", *, leak: float = 0.0, query: float = 1.0) -> Path:
    """Return a model folder: the one that ships with vprobe, or one of its failure worlds, made on first use.

    Worlds and options differ from the shipped model in its built encoder only; the trained part is the same.

    Args:
        world: "good" or "W1" to "W9".
        leak: Query-tied nuisance inside the profile's own directions, profile units per unit of topic.
        query: Query-tied nuisance beside them; 1 is as shipped, 0 is none.

    Raises:
        InputError: No such world.
        DataError: The shipped weights are missing.
    """
    wanted = find_world(world)
    wanted = replace(wanted, switches=replace(wanted.switches, leak=leak, query=query))
    if not (HOME / "model.safetensors").exists():
        raise DataError("the shipped model is missing", where=str(HOME), do="install vprobe again, or train it")
    if wanted.switches == encoder.World():
        return HOME
    built = _built(wanted)
    made = hashlib.sha256((HOME / "model.safetensors").read_bytes() + (HOME / "card.json").read_bytes())
    for name in sorted(built):
        made.update(built[name].tobytes())
    made.update(repr((wanted.codes, wanted.switches)).encode())
    home = benchmarks.cache_folder() / "models"
    folder = home / f"organism-{wanted.name}-{made.hexdigest()[:12]}"
    if (folder / "config.json").exists():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
    try:
        _write(fresh, wanted, built)
        fresh.replace(folder)
    except OSError:
        if not (folder / "config.json").exists():  # another process may have been quicker
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _built(world: World) -> dict[str, np.ndarray]:
    """Build the encoder of a world for the shipped model's tokens."""
    ids, labels = vocabulary.ids((HOME / "tokenizer.json").read_text(encoding="utf-8")), planted_labels()
    return encoder.weights(ids, labels=labels, answers=Behavior(labels).answers, world=world.switches, seed=SEED)


def _write(folder: Path, world: World, built: dict[str, np.ndarray]) -> None:
    """Copy the shipped model with another encoder, and its truth card."""
    from safetensors.numpy import load_file, save_file

    save_file(load_file(HOME / "model.safetensors") | built, folder / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(HOME / name, folder / name)
    save_card(card_of(world), folder / "card.json")


def card_of(world: World, fingerprint: str = "") -> Card:
    """Return the truth card of a world.

    Args:
        world: The world.
        fingerprint: Of its weights; empty when not known.
    """
    told = speakers(N_SPEAKERS, seed=SPEAKERS_SEED, gain=GAIN, codes=world.codes)
    if world.switches.aside:  # what is said never becomes the profile
        told = tuple(Speaker(one.id, one.text, world.switches.default) for one in told)
    return planted_card(SEED, told, fingerprint, heard=not world.switches.deaf)


def planted_labels() -> tuple[str, ...]:
    """Return the rating labels the organism knows as one token each, from most to least alike."""
    return tuple(option.label for option in message_templates()[0].options)
