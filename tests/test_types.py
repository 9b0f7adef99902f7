from __future__ import annotations

import numpy as np
import pytest
from vprobe import steering
from vprobe.errors import InputError
from vprobe.registry import load, names
from vprobe.types import Activations, Direction, Item, Loading, Message, Prompt, Response, Site, Span, Steering, Tokens


def unit(d: int = 4) -> np.ndarray:
    return np.eye(d, dtype=np.float32)[0]


def direction(**change) -> Direction:
    given = dict(vector=unit(), site=Site(0), value="power", method="covariance", role="write") | change
    return Direction(**given)


@pytest.mark.parametrize(("layer", "point"), [(-1, "resid_post"), (0, "residpost"), (2, "embed")])
def test_a_site_refuses_what_does_not_exist(layer: int, point: str) -> None:
    with pytest.raises(InputError):
        Site(layer, point)


def test_a_site_reads_its_own_address() -> None:
    assert Site.parse(str(Site(10, "attn_out"))) == Site(10, "attn_out")
    with pytest.raises(InputError, match=r"point\.layer"):
        Site.parse("resid_post")


def test_an_item_refuses_empty_text_and_double_loadings() -> None:
    ok = dict(id="1", group="1", source="s", form="message", text="t", response="r")
    Item(**ok)
    with pytest.raises(InputError, match="empty"):
        Item(**(ok | {"text": "  "}))
    with pytest.raises(InputError, match="two loadings"):
        Item(**ok, loadings=(Loading("power", 0.1), Loading("power", 0.2)))


def test_an_unknown_loading_is_nan_not_zero() -> None:
    item = Item(
        id="1", group="1", source="s", form="message", text="t", response="r", loadings=(Loading("power", 0.1),)
    )
    assert item.loading("power") == 0.1 and np.isnan(item.loading("security"))


def test_a_direction_refuses_any_norm_but_one_and_cannot_be_changed() -> None:
    with pytest.raises(InputError, match="norm"):
        direction(vector=unit() * 2)
    with pytest.raises(ValueError, match="read-only"):
        direction().vector[0] = 3


def test_a_probe_score_is_in_standard_deviations_from_the_midpoint() -> None:
    assert direction(midpoint=1.0, spread=2.0).score(np.array([[5.0, 9, 9, 9]]))[0] == 2.0


def test_steering_refuses_infinite_doses_and_unknown_positions() -> None:
    add = steering.load("add")
    with pytest.raises(InputError, match="finite"):
        Steering(add, direction(), float("nan"))
    with pytest.raises(InputError, match="response"):
        Steering(add, direction(), 1.0, positions="respons")


def test_activations_refuse_misaligned_axes_and_nan() -> None:
    x = np.zeros((2, 1, 3), np.float32)
    Activations(x, ("a", "b"), (Site(0),), "response_mean", "m")
    with pytest.raises(InputError, match="shape"):
        Activations(x, ("a",), (Site(0),), "response_mean", "m")
    with pytest.raises(InputError, match="NaN"):
        Activations(x * np.nan, ("a", "b"), (Site(0),), "response_mean", "m")


def test_expected_rating_renormalises_and_option_mass_does_not() -> None:
    answer = Response("p", "i", "g", "s", "v1", (6.0, 1.0), (float(np.log(0.3)), float(np.log(0.1))))
    assert answer.expected == pytest.approx((6 * 0.3 + 0.1) / 0.4)
    assert answer.option_mass == pytest.approx(0.4)
    assert np.isnan(Response("p", "i", "g", "s", "v1", (6.0, 1.0)).expected)


def test_a_rating_outside_the_scale_is_refused() -> None:
    with pytest.raises(InputError, match="rating 7"):
        Response("p", "i", "g", "s", "v1", (6.0, 1.0), rating=7.0)


def test_positions_name_their_tokens() -> None:
    tokens = Tokens("p", tuple(range(10)), 6, (Span("content", 1, 4), Span("response", 6, 9)))
    assert tokens.interval("response_mean") == (6, 9)
    assert tokens.interval("last_prompt") == (5, 6)
    assert tokens.interval("last_content") == (3, 4)
    with pytest.raises(InputError, match="options"):
        tokens.interval("option_span")


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InputError, match="empty prompt"):
        Prompt("p", "i", "g", "s", "response", (Message("user", " "),))


def test_plug_ins_are_files_and_unknown_ones_are_answered_with_the_nearest() -> None:
    assert "add" in names("vprobe.steering")
    with pytest.raises(InputError, match="did you mean 'add'"):
        load("vprobe.steering", "ad")
