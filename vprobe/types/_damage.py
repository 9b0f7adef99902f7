"""What one dose of steering costs: the table `damage`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DamageRow:
    """What one dose of one value's vector does to what it should leave alone; a number that does not exist is NaN.

    Args:
        value: Value the vector was fitted for.
        method: Direction method.
        site: Where it acted.
        positions: On which tokens.
        strength: The dose, in `unit`.
        coefficient: Size of the change, in the operation's measure: activation units where it adds.
        unit: What a strength of 1 is, such as "residual norm", or "kl=1" for what costs 1 nat on neutral text.
        kl: Mean KL(base || steered) of the next token on neutral text, nats per token.
        kl_low: Lower end of its 95 % interval over texts.
        kl_high: Upper end.
        perplexity: Of the base model on the neutral text.
        perplexity_ratio: Steered over base.
        n_texts: Neutral texts.
        n_tokens: Their tokens that were predicted.
        accuracy_base: Share of the questions with a right answer that the base model gets right, its likeliest option.
        accuracy: The same, steered.
        change_low: Lower end of the 90 % interval of steered less base, paired by question.
        change_high: Upper end.
        same_p: Larger p of the two one-sided tests that the change lies within the margin.
        margin: That margin.
        chance_p: p that the base model only guesses, one-sided; above .05 no loss of ability could show.
        n_questions: Questions answered both times.
        option_mass: Mean total probability of the options, base.
        mass_ratio: Steered over base.
        distinct_1: Distinct words over words of the greedy continuations, steered.
        distinct_2: The same of pairs of words.
        distinct_3: The same of triples.
        repetition: Mean share of a continuation's runs of four words that came before in it, steered.
        distinct_1_base: Base.
        distinct_2_base: Base.
        distinct_3_base: Base.
        repetition_base: Base.
        n_written: Continuations.
        refused: Share of harmless requests refused, steered.
        refused_base: Base.
        n_harmless: Harmless requests.
        refused_harmful: Share of harmful-looking requests refused, steered.
        refused_harmful_base: Base.
        n_harmful: Harmful-looking requests.
        broken: Limits of the standard budget that it breaks, with "; " between; empty when it keeps all.
        operation: What was done with the vector.
    """

    value: str
    method: str
    site: str
    positions: str
    strength: float
    coefficient: float
    unit: str
    kl: float
    kl_low: float
    kl_high: float
    perplexity: float
    perplexity_ratio: float
    n_texts: int
    n_tokens: int
    accuracy_base: float
    accuracy: float
    change_low: float
    change_high: float
    same_p: float
    margin: float
    chance_p: float
    n_questions: int
    option_mass: float
    mass_ratio: float
    distinct_1: float
    distinct_2: float
    distinct_3: float
    repetition: float
    distinct_1_base: float
    distinct_2_base: float
    distinct_3_base: float
    repetition_base: float
    n_written: int
    refused: float
    refused_base: float
    n_harmless: int
    refused_harmful: float
    refused_harmful_base: float
    n_harmful: int
    broken: str = ""
    operation: str = "add"
