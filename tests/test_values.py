from __future__ import annotations

import pytest
from vprobe import values
from vprobe.errors import InputError


@pytest.mark.parametrize(
    "spelling", ["Self-Direction", "self direction", "SELF_DIRECTION", "SelfDirection", " self-direction "]
)
def test_every_spelling_finds_its_value(spelling) -> None:
    assert values.find(spelling) == "self_direction"


def test_an_unknown_value_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="benevolence"):
        values.find("benevolance")


def test_conformity_and_tradition_share_a_wedge_and_opposites_lie_160_degrees_apart() -> None:
    assert values.circle_distance("conformity", "tradition") == 0
    assert values.circle_distance("power", "universalism") == 160
    assert values.circle_distance("power", "security") == 40
    assert values.circle_distance("power", "achievement") == values.circle_distance("achievement", "power") == 40


def test_a_trait_has_no_angle() -> None:
    with pytest.raises(InputError):
        values.angle("openness")


def test_names_are_unique_and_titles_read_well() -> None:
    assert len(set(values.NAMES)) == len(values.NAMES) == 10 + 4 + 5 + 3 + 6 + 1
    assert values.title("self_direction") == "Self-Direction"
    assert values.title("openness_to_change") == "Openness to Change"
    assert values.family("neuroticism") == "big_five"
