"""The organism: a small language model whose values we planted, so that every estimate can be set beside the truth."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from vprobe import benchmarks
from vprobe.benchmarks import planted
from vprobe.errors import DataError
from vprobe.organism import _encoder as encoder
from vprobe.organism import _vocabulary as vocabulary
from vprobe.organism._behavior import Behavior
from vprobe.organism.card import Card
from vprobe.organism.card import read as read_card
from vprobe.organism.items import Drawn, Speaker, draw, speakers
from vprobe.organism.worlds import WORLDS, World
from vprobe.organism.worlds import find as find_world

__all__ = ["NAME", "SEED", "WORLDS", "Card", "Drawn", "Speaker", "World", "draw", "find_world", "load", "read_card",
           "speakers"]  # fmt: skip

NAME = "organism"
"""What to give as `--model` for the model that ships with vprobe."""
SEED = 0
"""Seed the shipped weights were made with."""
HOME = Path(__file__).parent / "model"


def load(world: str = "good") -> Path:
    """Return a model folder: the one that ships with vprobe, or one of its failure worlds, made on first use.

    A world differs from the shipped model in its built encoder only; the trained part is the same.

    Args:
        world: "good" or "W1" to "W9".

    Raises:
        InputError: No such world.
        DataError: The shipped weights are missing.
    """
    wanted = find_world(world)
    if not (HOME / "model.safetensors").exists():
        raise DataError("the shipped model is missing", where=str(HOME), do="install vprobe again, or train it")
    if wanted.switches == encoder.World():
        return HOME
    made = hashlib.sha256((HOME / "model.safetensors").read_bytes() + repr(wanted.switches).encode()).hexdigest()
    home = benchmarks.cache_folder() / "models"
    folder = home / f"organism-{wanted.name}-{made[:12]}"
    if (folder / "config.json").exists():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
    try:
        _write(fresh, wanted)
        fresh.replace(folder)
    except OSError:
        if not (folder / "config.json").exists():  # another process may have been quicker
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _write(folder: Path, world: World) -> None:
    """Copy the shipped model and build its encoder anew with a world's switches."""
    from safetensors.numpy import load_file, save_file

    weights = load_file(HOME / "model.safetensors")
    ids = vocabulary.ids((HOME / "tokenizer.json").read_text(encoding="utf-8"))
    labels = planted_labels()
    built = encoder.weights(ids, labels=labels, answers=Behavior(labels).answers, world=world.switches, seed=SEED)
    save_file(weights | built, folder / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(HOME / name, folder / name)
    truth = json.loads((HOME / "card.json").read_text(encoding="utf-8")) | {"world": world.name, "fingerprint": ""}
    (folder / "card.json").write_text(json.dumps(truth), encoding="utf-8")


def planted_labels() -> tuple[str, ...]:
    """Return the rating labels the organism knows as one token each, from most to least alike."""
    return tuple(option.label for option in planted.message_templates()[0].options)
