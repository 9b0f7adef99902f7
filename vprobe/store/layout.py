"""How activations lie on disk: one flat safetensors file per position and site, and a journal of finished batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vprobe.errors import StoreError
from vprobe.types import ModelInfo, Site, Span

MAGIC = b"VPROBEJ1"
JOURNAL = "journal"
INDEX = "index.jsonl"
FORMAT = 1


@dataclass(frozen=True)
class Sample:
    """One row of the recorded activations.

    Args:
        row: Row in every site's file.
        prompt_id: The prompt.
        item_id: The item.
        group: The item's query.
        source: The item's source.
        template: "response" or a rating version.
        n_tokens: Tokens of the prompt.
        spans: Token spans of its marks.
    """

    row: int
    prompt_id: str
    item_id: str
    group: str
    source: str
    template: str
    n_tokens: int
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class RecordingPlan:
    """Everything the bytes of a recording depend on; a resumed recording must have the same.

    Args:
        model: The model.
        device: Kind of device, such as "cpu" or "cuda".
        samples: One per row, in row order.
        content: SHA-256 over prompt ids, token ids and averaged tokens.
        sites: Where activations are read.
        positions: What they are averaged over.
        batches: Rows of every batch.
        batch_tokens: Token budget the batches were planned with.
    """

    model: ModelInfo
    device: str
    samples: tuple[Sample, ...]
    content: str
    sites: tuple[Site, ...]
    positions: tuple[str, ...]
    batches: tuple[tuple[int, ...], ...]
    batch_tokens: int

    @property
    def index(self) -> bytes:
        """The lines of `index.jsonl`."""
        return b"".join(_line(sample) for sample in self.samples)

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of the site files inside `activations/`, positions outermost."""
        return tuple(site_file(position, site) for position in self.positions for site in self.sites)

    def head(self, name: str) -> bytes:
        """Return the safetensors header of one of `names`."""
        position, _, rest = name.partition("/")
        site = rest.removesuffix(".safetensors")
        notes = {"position": position, "site": site, "model": self.model.fingerprint}
        return tensor_header("x", (len(self.samples), self.model.d_model), notes)

    @property
    def site_bytes(self) -> int:
        """Bytes of the numbers of one site."""
        return len(self.samples) * self.model.d_model * 4

    def journal(self) -> Journal:
        """Return the journal of this plan, with no batch finished."""
        head: dict[str, Any] = {
            "format": FORMAT,
            "model": self.model.fingerprint,
            "model_name": self.model.name,
            "dtype": self.model.dtype,
            "device": self.device,
            "d_model": self.model.d_model,
            "prompts": self.content,
            "n_samples": len(self.samples),
            "index": hashlib.sha256(self.index).hexdigest(),
            "sites": [str(site) for site in self.sites],
            "positions": list(self.positions),
            "batch_tokens": self.batch_tokens,
            "batches": hashlib.sha256(json.dumps(self.batches).encode()).hexdigest(),
            "n_batches": len(self.batches),
        }
        head["plan"] = hashlib.sha256(_compact(head)).hexdigest()
        return Journal(_compact(head), bytes(len(self.batches)))


@dataclass(frozen=True)
class Journal:
    """The plan a recording was started with, and one byte per batch: 1 when its numbers are safely on disk.

    Args:
        head: The plan as JSON.
        done: One byte per batch.
    """

    head: bytes
    done: bytes

    @property
    def plan(self) -> dict[str, Any]:
        """The plan's parts by name."""
        return json.loads(self.head)

    @property
    def offset(self) -> int:
        """Where the batch bytes start in the file."""
        return len(MAGIC) + 8 + len(self.head)

    @property
    def n_done(self) -> int:
        """Finished batches."""
        return self.done.count(1)

    @property
    def finished(self) -> bool:
        """True when every batch is."""
        return self.n_done == len(self.done)

    def to_bytes(self) -> bytes:
        """Return the file's bytes."""
        return MAGIC + len(self.head).to_bytes(8, "little") + self.head + self.done

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Read a journal; batch bytes that are missing or no 1 count as not finished.

        Args:
            path: The journal.

        Raises:
            StoreError: Missing or unreadable, or its head is cut off.
        """
        try:
            data = path.read_bytes()
            size = int.from_bytes(data[8:16], "little")
            head = data[16 : 16 + size]
            plan = json.loads(head)
            claimed = plan.pop("plan")
            good = data[:8] == MAGIC and claimed == hashlib.sha256(_compact(plan)).hexdigest()
            n_batches = int(plan["n_batches"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            good, head, n_batches, data, size = False, b"", 0, b"", 0
        if not good:
            raise StoreError(
                "damaged or missing journal: it cannot be told which numbers are safe",
                where=str(path),
                do="delete this run's folder 'activations' and run vprobe extract again",
            )
        tail = data[16 + size : 16 + size + n_batches].ljust(n_batches, b"\0")
        return cls(head, bytes(int(byte == 1) for byte in tail))


def differences(was: Journal, now: Journal) -> tuple[str, ...]:
    """Name in words what differs between two plans; empty when they are the same."""
    old, new = was.plan, now.plan
    words = [
        ("model", f"model {old['model_name']} ({old['model'][:12]}), now {new['model_name']} ({new['model'][:12]})"),
        ("dtype", f"dtype {old['dtype']}, now {new['dtype']}"),
        ("device", f"device {old['device']}, now {new['device']}"),
        ("d_model", f"width {old['d_model']}, now {new['d_model']}"),
        ("prompts", f"prompts ({old['n_samples']} of them, now {new['n_samples']})"),
        ("sites", f"sites {_short(old['sites'])}, now {_short(new['sites'])}"),
        ("positions", f"positions {_short(old['positions'])}, now {_short(new['positions'])}"),
        ("batch_tokens", f"batch-tokens {old['batch_tokens']}, now {new['batch_tokens']}"),
    ]
    found = tuple(text for key, text in words if old[key] != new[key])
    if not found and old != new:
        return ("batches or index, as another version of vprobe plans them",)
    return found


def _short(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{names[0]} ... {names[-1]} ({len(names)})"


def site_file(position: str, site: Site) -> str:
    """Return where a site's numbers lie inside `activations/`."""
    return f"{position}/{site}.safetensors"


def tensor_header(name: str, shape: tuple[int, ...], notes: dict[str, str]) -> bytes:
    """Return the bytes a safetensors file of one float32 tensor starts with, 8-byte aligned.

    Args:
        name: Name of the tensor.
        shape: Its shape.
        notes: Texts for the file's metadata.
    """
    size = 4
    for n in shape:
        size *= n
    text = _compact({"__metadata__": notes, name: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}})
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _compact(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _line(sample: Sample) -> bytes:
    row = {
        "row": sample.row,
        "prompt_id": sample.prompt_id,
        "item_id": sample.item_id,
        "group": sample.group,
        "source": sample.source,
        "template": sample.template,
        "n_tokens": sample.n_tokens,
        "spans": [[span.name, span.start, span.end] for span in sample.spans],
    }
    return _compact(row) + b"\n"


def read_index(path: Path) -> tuple[Sample, ...]:
    """Read `index.jsonl`.

    Raises:
        StoreError: Missing or unreadable.
    """
    try:
        rows = [json.loads(line) for line in path.read_bytes().splitlines()]
        return tuple(Sample(**{**row, "spans": tuple(Span(*span) for span in row["spans"])}) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "damaged or missing index of rows", where=str(path), do="run vprobe extract again with the same settings"
        ) from error
