"""`vprobe steer damage`: what steering costs on texts, questions and requests that have nothing to do with values."""

from __future__ import annotations

from pathlib import Path

from vprobe.cli import options as o
from vprobe.cli import show


@o.loads
def damage(
    model: o.Model = None,
    run: o.RunFolder = None,
    values: o.SteerValues = None,
    strengths: o.Strengths = None,
    dose: o.Dose = None,
    limit: o.DamageLimit = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    vector: o.SteerVector = None,
    on: o.SteerPositions = None,
    operation: o.Operation = None,
    option: o.SteerOptions = None,
    gate: o.Gate = None,
    stop: o.Stop = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Measure what each dose costs: KL, perplexity, right answers, option mass, dull or refusing texts; the budget."""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    config = o.resolve(
        o.of_run(folder), fields=o.running(locals()) | {
            "steer_value": o.split(values), "damage_limit": limit,
            "strengths": o.numbers(strengths, where="--strengths"),
        }
    )  # fmt: skip
    config = o.beside(folder, config)
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.steer_damage(folder, config, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        costs(folder, of="imported_damage" if config.steer_vector else "damage")


def costs(folder: Path, *, of: str = "damage") -> None:
    """Print what every dose of a run costs."""
    from vprobe import store, values
    from vprobe.types import DamageRow

    number = show.number
    rows = store.load_rows(folder, of, DamageRow)
    heads = ("value", "strength", "size", "KL", "95 % interval", "perplexity", "accuracy", "90 % of change", "same p",
             "option mass", "limits")  # fmt: skip
    show.table("on neutral text and questions; perplexity and option mass: steered over base", heads, [
        (values.title(r.value), number(r.strength, 3), number(r.coefficient, 3), number(r.kl, 3),
         f"{number(r.kl_low, 3)} .. {number(r.kl_high, 3)}", number(r.perplexity_ratio, 3),
         f"{number(r.accuracy_base, 3)} -> {number(r.accuracy, 3)}",
         f"{number(r.change_low, 3)} .. {number(r.change_high, 3)}", show.chance(r.same_p), number(r.mass_ratio, 3),
         f"{len(r.broken.split('; '))} broken" if r.broken else "kept")
        for r in rows
    ])  # fmt: skip
    heads = ("value", "strength", "distinct 1", "distinct 2", "distinct 3", "repetition", "refused", "refused, harmful")
    show.table("greedy answers to harmless requests, and shares refused; base -> steered", heads, [
        (values.title(r.value), number(r.strength, 3), *(
            f"{number(base)} -> {number(moved)}" for base, moved in (
                (r.distinct_1_base, r.distinct_1), (r.distinct_2_base, r.distinct_2),
                (r.distinct_3_base, r.distinct_3), (r.repetition_base, r.repetition), (r.refused_base, r.refused),
                (r.refused_harmful_base, r.refused_harmful),
            )
        ))
        for r in rows
    ])  # fmt: skip
    if rows:
        one = rows[0]
        show.line(
            f"n: {one.n_texts} texts of {one.n_tokens} tokens, {one.n_questions} questions (margin {one.margin:g}, "
            f"base option mass {number(one.option_mass, 3)}), {one.n_harmless} harmless and {one.n_harmful} "
            f"harmful-looking requests. A strength of 1 is: {one.unit}."
        )
        if one.chance_p > 0.05:
            show.line("The base model answers the questions no better than by guessing: no loss of ability can show.")
    for r in rows:
        if r.broken:
            show.line(f"  {values.title(r.value)} {r.strength:+.3g} breaks: {r.broken}")
