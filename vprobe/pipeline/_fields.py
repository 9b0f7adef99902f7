"""Which settings each stage uses: what its record holds, and what may not change when it goes on."""

from __future__ import annotations

MODEL = (
    "model", "revision", "dtype", "device", "backend", "trust_remote_code", "device_map", "tp_plan", "quantize",
    "remote", "benchmark", "batch_tokens", "too_long",
)  # fmt: skip
"""Settings of the model and of what it is asked."""
FIELDS = (
    ("extract", (*MODEL, "template", "sites", "layers", "positions", "limit", "stop")),
    ("rate", (*MODEL, "versions", "greedy", "temperature", "stop", "generation", "correct_order", "limit", "seed")),
    ("probe", ("positions", "method", "values", "folds", "hold_out", "final", "draws", "map", "seed")),
    ("final", ("final", "hold_out", "seed")),
    ("borrow", ("method", "values")),
    ("agree", ("draws", "seed")),
    ("across", ("seed",)),
    (
        "steer",
        (*MODEL, "steer_value", "steer_method", "steer_site", "steer_positions", "steer_versions", "strengths",
         "steer_vector", "dose", "steer_limit", "null_draws", "null_arms", "claim_draws", "seed"),
    ),
    (
        "matrix",
        (*MODEL, "steer_value", "steer_method", "steer_site", "steer_positions", "steer_operation", "steer_options",
         "steer_vector", "steer_gate", "steer_versions", "strengths", "dose", "steer_limit", "seed"),
    ),
    (
        "damage",
        (*MODEL, "steer_value", "steer_method", "steer_site", "steer_positions", "steer_operation", "steer_options",
         "steer_vector", "steer_gate", "strengths", "dose", "damage_limit", "stop", "seed"),
    ),
    (
        "said",
        (*MODEL, "steer_value", "steer_method", "steer_site", "steer_positions", "steer_operation", "steer_options",
         "steer_gate", "strengths", "dose", "steer_limit", "null_draws", "seed"),
    ),
    (
        "transfer",
        (*MODEL, "steer_value", "steer_method", "steer_site", "steer_positions", "steer_operation", "steer_options",
         "steer_gate", "steer_versions", "strengths", "dose", "steer_limit", "null_draws", "stop", "seed"),
    ),
    (
        "solve",
        (*MODEL, "steer_method", "steer_site", "steer_positions", "steer_operation", "steer_options", "steer_gate",
         "steer_vector", "steer_conflict", "steer_versions", "strengths", "dose", "steer_limit", "seed"),
    ),
    *(
        (name, (*MODEL, "steer_value", "steer_method", "steer_site", "steer_vector", "steer_positions",
                "steer_versions", "steer_limit", "null_draws", "seed"))
        for name in ("ablate", "interchange")
    ),
    (
        "positions",
        (*MODEL, "steer_value", "steer_method", "steer_site", "steer_vector", "steer_versions", "steer_operation",
         "steer_options", "steer_gate", "strengths", "steer_limit", "seed"),
    ),
    (
        "personas",
        (*MODEL, "personas", "persona_limit", "steer_method", "steer_site", "steer_versions", "claim_draws", "seed"),
    ),
    (
        "audit",
        (*MODEL, "steer_value", "steer_method", "steer_site", "steer_positions", "steer_versions", "strengths",
         "steer_limit", "seed"),
    ),
    ("elicit", (*MODEL, "personas", "stop", "seed")),
    ("demographics", (*MODEL, "versions", "values", "limit", "seed")),
    (
        "induce",
        (*MODEL, "versions", "greedy", "steer_method", "steer_site", "steer_positions", "steer_operation",
         "steer_options", "steer_gate", "steer_conflict", "dose", "stop", "seed"),
    ),
    (
        "eval",
        (*MODEL, "steer_method", "steer_site", "steer_positions", "steer_operation", "steer_options", "steer_gate",
         "steer_neurons", "steer_heads", "steer_vector", "dose", "seed"),
    ),
    ("claims", ("steer_method", "steer_site", "alpha", "claim_draws", "seed")),
)  # fmt: skip
"""Settings each stage uses; a stage's record holds these and no others."""
