"""A vector's card as text: `card.md` for readers, `card.json` for programs, and its figures; computes nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vprobe.errors import WRITABLE, StoreError, reason
from vprobe.report import causal, style
from vprobe.report.vector_figures import figures
from vprobe.report.vector_short import lines
from vprobe.report.vector_words import LAYOUTS, cells, fact_rows
from vprobe.report.wording import number, setting
from vprobe.types import CardFact, CardPart, CardTable, VectorCard

DRAWN = {"dose": ("dose", "said"), "specificity": ("specificity",), "damage": ("damage",), "transfer": ("transfer",),
         "causal": ("ablation", "exchange"), "positions": ("positions",)}  # fmt: skip
"""Figures of each part that has any."""


def write_card(card: VectorCard, out: Path, *, vector: str) -> tuple[Path, ...]:
    """Write a card: `card.md`, `card.json` and `figures/`; the same tables give the same bytes.

    Args:
        card: What a run shows of one vector.
        out: Folder of the card, made when missing; the vector is there already.
        vector: File name of the vector, in that folder.

    Returns:
        The files written.

    Raises:
        StoreError: The folder cannot be written to.
    """
    drawn = figures(card)
    sha = hashlib.sha256((out / vector).read_bytes()).hexdigest()
    files = [(out / "card.md", _markdown(card, drawn, vector).encode("utf-8"))]
    told = json.dumps(_plain(_json(card, vector, sha)), indent=1, ensure_ascii=False, allow_nan=False)
    files.append((out / "card.json", (told + "\n").encode("utf-8")))
    for one in drawn:
        files += [(out / "figures" / f"{one.name}.{end}", data) for end, data in (("svg", one.svg), ("png", one.png))]
    try:
        for path, data in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for path in (out / "figures").glob("*"):
            if path not in dict(files):
                path.unlink()
    except OSError as error:
        raise StoreError(f"cannot be written: {reason(error)}", where=str(out), do=WRITABLE) from None
    return tuple(path for path, _ in files)


# --- for programs ----------------------------------------------------------------------------------------------------


def _json(card: VectorCard, vector: str, sha: str) -> dict[str, Any]:
    one, info = card.direction, card.info
    told = {name: getattr(one, name) for name in (
        "value", "method", "role", "effect", "provenance", "position", "unit", "midpoint", "spread", "fitted_on",
    )}  # fmt: skip
    return {
        "card": 1,
        "vector": {"file": vector, "sha256": sha, "site": str(one.site), "width": len(one.vector),
                   "fitted_on_samples": len(one.seen.samples), "fitted_on_queries": len(one.seen.queries), **told},
        "model": dataclasses.asdict(info.model) if info.model else None,
        "made_with": {
            "vprobe": info.vprobe, "commit": info.commit, "versions": dict(info.versions), "seed": info.seed,
            "data": [{"name": name, "sha256": sha256} for name, sha256 in info.data],
            "stages": {stage: {"settings": dict(i.config), "seed": i.seed, "commit": i.commit,
                               "data": [{"name": name, "sha256": s} for name, s in i.data],
                               "left_out": [dataclasses.asdict(c) for c in i.counts]} for stage, i in card.settings},
        },
        "claim_ladder": {"rung": card.rung, "next": card.next_rung},
        "facts": [dataclasses.asdict(fact) for fact in card.facts],
        "tables": {key: {"part": part.key, "rows": [dataclasses.asdict(row) for row in table.rows],
                         "units": dict(table.units)} for part, key, table in _keyed(card)},
        "missing": [{"part": part.key, "what": list(part.missing), "commands": list(part.commands)}
                    for part in card.parts if part.missing],
    }  # fmt: skip


def _keyed(card: VectorCard) -> list[tuple[CardPart, str, CardTable]]:
    """Name every table once: null arms stand in the same table as the doses."""
    return [
        (part, f"{table.name}_nulls" if part.key == "nulls" and table.name != "nulls" else table.name, table)
        for part in card.parts
        for table in part.tables
    ]


def _plain(found: Any) -> Any:
    if isinstance(found, float) and not math.isfinite(found):
        return None
    if isinstance(found, dict):
        return {str(key): _plain(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [_plain(value) for value in found]
    return found if isinstance(found, (str, int, float, bool, type(None))) else str(found)


# --- for readers -----------------------------------------------------------------------------------------------------


def _markdown(card: VectorCard, drawn: Sequence[style.Drawing], vector: str) -> str:
    one = card.direction
    title = f"# Steering card: {style.title(one.value)} at {one.site}"
    blocks = [title, "\n".join(f"- {line}" for line in lines(card)), *_provenance(card, vector), *_units(card)]
    for part in card.parts:
        blocks += _part(part, card.facts, drawn)
    blocks += ["## What may be claimed", f"Rung reached: **{card.rung}**."]
    blocks.append(f"Why not the next: {card.next_rung}." if card.next_rung else "This is the highest rung.")
    return "\n\n".join(block.strip() for block in blocks) + "\n"


def _provenance(card: VectorCard, vector: str) -> list[str]:
    one, info = card.direction, card.info
    model = info.model
    seeds = ", ".join(f"{stage} {i.seed}" for stage, i in card.settings)
    rows = [
        ("model", f"{setting(model.name)} ({model.family}, {model.n_layers} blocks of width {model.d_model}, "
                  f"{model.dtype})" if model else "not known"),
        ("revision", model.revision or "none: a local folder" if model else "not known"),
        ("fingerprint", f"`{one.model}`"),
        ("method", f"{one.method}; {one.effect}, {one.provenance}, made to {one.role}"),
        ("fitted at", f"{one.site}, {one.position}"),
        ("fitted on", f"{len(one.seen.samples)} samples of {len(one.seen.queries)} queries, sample ids SHA-256 "
                      f"`{one.fitted_on[:16]}`; none of them among the items it is tried on below"),
        *(("data", f"{name}, SHA-256 `{sha}`") for name, sha in info.data),
        ("vprobe", f"{info.vprobe}" + (f", commit `{info.commit}`" if info.commit else "")),
        ("seeds", seeds),
        ("vector", f"`{vector}`: length 1; it loads into the model of this fingerprint only"),
    ]  # fmt: skip
    facts = [fact for fact in card.facts if fact.part == "provenance"]
    rows += [(fact.name, f"{fact.text or number(fact.value, 0)}" + (f" ({fact.note})" if fact.note else ""))
             for fact in facts]  # fmt: skip
    return ["## Where it comes from", _table(("", ""), rows)]


def _units(card: VectorCard) -> list[str]:
    facts = [fact for fact in card.facts if fact.part == "units"]
    return ["## Site and units", _table(*fact_rows(facts))]


def _part(part: CardPart, facts: Sequence[CardFact], drawn: Sequence[style.Drawing]) -> list[str]:
    out = [f"## {part.title}", part.reads]
    mine_drawn = [one for one in drawn if one.name in DRAWN.get(part.key, ())]
    out += [f"![{one.alt}](figures/{one.name}.png)" for one in mine_drawn]
    mine = [fact for fact in facts if fact.part == part.key]
    if mine:
        out.append(_table(*fact_rows(mine)))
    for table in part.tables:
        if part.key == "nulls" and table.name != "nulls":
            continue  # every draw is in card.json; the facts above sum them up
        for caption, heads, rows in cells(table, {**LAYOUTS, **causal.LAYOUTS}):
            out += [*([caption] if caption else []), _table(heads, rows)]
    if part.missing:
        told = "\n".join(f"- {one}" for one in part.missing)
        made = "\n".join(f"    {one}" for one in part.commands)
        out.append(f"**Missing.** Not measured, and nothing is put in its place:\n\n{told}")
        out.append(f"Made with:\n\n{made}" if made else "")
    return [one for one in out if one]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; a leading ">" sets a column flush right."""
    line = "| " + " | ".join(head.lstrip(">") for head in heads) + " |"
    rule = "|" + "|".join("---:" if head.startswith(">") else "---" for head in heads) + "|"
    body = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join((line, rule, *body))
