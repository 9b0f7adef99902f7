"""Train the organism that ships with vprobe and write its weights, truth card and fixed sample of items.

The same machine gives the same bytes; the SHA-256 of the weights is printed. One thread, about four minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

import torch
from vprobe import backends, organism
from vprobe.benchmarks import _wordings, planted
from vprobe.organism import card, items, train

ROOT = Path(__file__).resolve().parent.parent
PROMPTS = ("Complete the sentence with one word:", "How many points do you and the other person receive?")
"""What completions and choices are asked with, beside the wordings of the rating items."""
ITEMS_SEED, QUERIES = 520, 104
RELIABILITY = 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=organism.HOME, help="model folder")
    parser.add_argument("--items", type=Path, default=ROOT / "vprobe" / "benchmarks", help="folder for planted.json")
    parser.add_argument("--steps", type=int, default=train.Plan().steps, help="training steps")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    begun = time.process_time()
    wordings = tuple(template.text for template in _wordings.message_templates())
    folder = train.organism(
        wanted.out, texts=(*wordings, *PROMPTS), labels=organism.planted_labels(), seed=organism.SEED,
        plan=train.Plan(steps=wanted.steps),
        tell=lambda step, of, loss: print(f"step {step} of {of}: loss {loss:.4f}", flush=True),
    )  # fmt: skip
    made = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    print(f"{folder / 'model.safetensors'}: sha256 {made}, {time.process_time() - begun:.0f} s of CPU")
    fingerprint = backends.load(str(folder), device="cpu").info.fingerprint
    truth = organism.card_of(organism.find_world("good"), fingerprint)
    card.save(truth, folder / "card.json")
    drawn = items.draw(QUERIES, seed=ITEMS_SEED, reliability=RELIABILITY)
    wanted.items.mkdir(parents=True, exist_ok=True)
    planted.write(wanted.items / "planted.json", drawn.records, drawn.reliability)
    print(f"{len(drawn.records)} items, label reliability {drawn.reliability:.3f}; {len(truth.speakers)} personas")


if __name__ == "__main__":
    main()
