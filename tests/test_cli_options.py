"""Options of commands that steer reach their settings under the names of the settings."""

from __future__ import annotations

import inspect

import pytest
from vprobe.cli import audits, cards, causal, effects, model, options
from vprobe.config import RunConfig
from vprobe.errors import InputError

COMMANDS = (
    audits.audit, cards.card, cards.said, cards.transfer, causal.ablate, causal.interchange, causal.positions,
    effects.matrix, effects.solve, model.sweep,
)  # fmt: skip
OWN = {"run", "as_json", "personas", "instruments", "out", "make", "target", "keep", "max_kl", "strengths"}
"""Arguments that a command reads itself."""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.__name__)
def test_every_option_of_a_steering_command_is_a_setting_or_read_by_the_command(command) -> None:
    left = set(inspect.signature(command).parameters) - OWN - set(options.AS_FIELDS) - set(options.BY_NAME)
    assert left == set()


def test_options_become_settings_and_those_left_out_keep_their_defaults() -> None:
    given = {"model": "m", "values": ["power,security"], "strengths": "-1,2", "on": "all", "limit": 3, "personas": 7,
             "option": ["low=1,2"], "method": None, "folder": "no setting"}  # fmt: skip
    found, plain = options.steered(given), RunConfig()
    assert (found.model, found.steer_value, found.strengths) == ("m", ("power", "security"), (-1.0, 2.0))
    assert (found.steer_positions, found.steer_limit, found.steer_options) == ("all", 3, ("low=1,2",))
    assert (found.personas, found.steer_method) == (plain.personas, plain.steer_method)
    assert options.steered({"values": None}, every=True).steer_value == ("all",)
    assert options.steered({"values": None}, RunConfig(steer_value=("power",))).steer_value == ("power",)
    with pytest.raises(InputError, match="--strengths"):
        options.steered({"strengths": "1,x"})
