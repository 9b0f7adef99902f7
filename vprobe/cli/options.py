"""Command-line options, their help and defaults taken from `RunConfig`."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from vprobe import config
from vprobe.config import RunConfig
from vprobe.errors import InputError

_Given = TypeVar("_Given")


def _option(field: str, *flags: str, callback: Callable[..., Any] | None = None) -> Any:
    default = config.default_of(field)
    shown = ", ".join(str(one) for one in default) if isinstance(default, tuple) else str(default)
    return typer.Option(*flags, help=config.help_of(field), show_default=shown or False, callback=callback)


def _breaks(given: list[str] | None) -> list[str] | None:
    """Return texts with new lines and tabs in them, which a shell hands over as two characters each."""
    return [one.replace("\\n", "\n").replace("\\t", "\t") for one in given] if given else None


Model = Annotated[str | None, _option("model", "--model", "-m")]
Revision = Annotated[str | None, _option("revision", "--revision")]
Dtype = Annotated[str | None, _option("dtype", "--dtype")]
Device = Annotated[str | None, _option("device", "--device")]
Engine = Annotated[str | None, _option("backend", "--backend")]
Trust = Annotated[bool | None, _option("trust_remote_code", "--trust-remote-code/--no-trust-remote-code")]
DeviceMap = Annotated[str | None, _option("device_map", "--device-map")]
TpPlan = Annotated[str | None, _option("tp_plan", "--tp-plan")]
Quantize = Annotated[str | None, _option("quantize", "--quantize")]
Remote = Annotated[str | None, _option("remote", "--remote")]
Bench = Annotated[list[str] | None, _option("benchmark", "--benchmark", "-b")]
DataFolder = Annotated[str | None, _option("data", "--data")]
Out = Annotated[str | None, _option("out", "--out", "-o")]
Template = Annotated[str | None, _option("template", "--template")]
Sites = Annotated[list[str] | None, _option("sites", "--sites")]
Layers = Annotated[str | None, _option("layers", "--layers")]
Positions = Annotated[list[str] | None, _option("positions", "--positions")]
Position = Annotated[
    str | None, typer.Option("--position", help="Recorded position to probe; response_mean, else the first.")
]
BatchTokens = Annotated[int | None, _option("batch_tokens", "--batch-tokens")]
Limit = Annotated[int | None, _option("limit", "--limit")]
TooLong = Annotated[str | None, _option("too_long", "--too-long")]
Versions = Annotated[list[str] | None, _option("versions", "--versions")]
Greedy = Annotated[bool | None, _option("greedy", "--greedy/--no-greedy")]
Temperature = Annotated[float | None, _option("temperature", "--temperature")]
Stop = Annotated[list[str] | None, _option("stop", "--stop", callback=_breaks)]
Generation = Annotated[bool | None, _option("generation", "--generation/--no-generation")]
CorrectOrder = Annotated[bool | None, _option("correct_order", "--correct-order/--no-correct-order")]
Method = Annotated[list[str] | None, _option("method", "--method")]
Values = Annotated[list[str] | None, _option("values", "--values")]
Folds = Annotated[int | None, _option("folds", "--folds")]
HoldOut = Annotated[str | None, _option("hold_out", "--hold-out")]
Final = Annotated[float | None, _option("final", "--final")]
Untrained = Annotated[bool | None, _option("untrained", "--untrained/--no-untrained")]
Embedding = Annotated[str | None, _option("embedding", "--embedding")]
Draws = Annotated[int | None, _option("draws", "--draws")]
Seed = Annotated[int | None, _option("seed", "--seed")]
SteerValues = Annotated[list[str] | None, _option("steer_value", "--values")]
SteerMethod = Annotated[str | None, _option("steer_method", "--method")]
SteerSite = Annotated[str | None, _option("steer_site", "--site")]
SteerVector = Annotated[str | None, _option("steer_vector", "--vector")]
Neurons = Annotated[str | None, _option("steer_neurons", "--neurons")]
Heads = Annotated[str | None, _option("steer_heads", "--heads")]
SteerVersions = Annotated[list[str] | None, _option("steer_versions", "--versions")]
SteerPositions = Annotated[str | None, _option("steer_positions", "--on")]
Operation = Annotated[str | None, _option("steer_operation", "--operation")]
SteerOptions = Annotated[list[str] | None, _option("steer_options", "--option")]
Gate = Annotated[str | None, _option("steer_gate", "--gate")]
Conflict = Annotated[str | None, _option("steer_conflict", "--conflict")]
Strengths = Annotated[str | None, _option("strengths", "--strengths")]
Dose = Annotated[str | None, _option("dose", "--dose")]
DamageLimit = Annotated[int | None, _option("damage_limit", "--limit")]
SteerLimit = Annotated[int | None, _option("steer_limit", "--limit")]
NullArms = Annotated[list[str] | None, _option("null_arms", "--null-arms")]
NullDraws = Annotated[int | None, _option("null_draws", "--null-draws")]
AsJson = Annotated[bool | None, typer.Option("--json", help="Print one JSON object for a program instead of text.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)]
RunOption = Annotated[Path, typer.Option("--run", help="Run folder that holds the directions.", show_default=False)]
RunFolder = Annotated[Path | None, typer.Option("--run", help="Run folder with directions.", show_default=False)]


@dataclass(frozen=True)
class Loading:
    """How a model is loaded: the options, in this order, of every command that loads one."""

    backend: Engine = None
    revision: Revision = None
    dtype: Dtype = None
    device: Device = None
    device_map: DeviceMap = None
    tp_plan: TpPlan = None
    quantize: Quantize = None
    remote: Remote = None


USUAL = Loading()
"""None of them given."""


def loads(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has the options of `Loading` where the command itself has the one parameter `loading`."""
    own, options = (inspect.signature(one, eval_str=True).parameters for one in (command, Loading))

    @functools.wraps(command)
    def _called(**given: Any) -> None:
        loading = Loading(**{name: given.pop(name) for name in options if name in given})
        command(**given, loading=loading)

    spread = [each for name, one in own.items() for each in (options.values() if name == "loading" else (one,))]
    _called.__signature__ = inspect.Signature(spread)  # pyright: ignore[reportAttributeAccessIssue]
    _called.__annotations__ = {one.name: one.annotation for one in spread}  # evaluated: typer need not do it again
    return _called


def split(given: list[str] | str | None) -> list[str] | None:
    """Return a list option as single words: it may be repeated, and commas separate too."""
    if given is None:
        return None
    return [
        word.strip()
        for one in ([given] if isinstance(given, str) else given)
        for word in one.split(",")
        if word.strip()
    ]


def sites(given: list[str] | None) -> list[str] | None:
    """Return site options unsplit: `resid_post:3,5` keeps its comma, points are separated by repeating the option."""
    return None if given is None else [one.strip() for one in given]


def numbers(given: str | None, *, where: str) -> list[float] | None:
    """Return `-0.5,0,0.5` as numbers.

    Raises:
        InputError: Something between the commas is not a number.
    """
    if given is None:
        return None
    with contextlib.suppress(ValueError):
        found = [float(word) for word in given.split(",")]
        if all(map(math.isfinite, found)):
            return found
    raise InputError(f"{given!r}", where=where, expected="numbers with commas, such as -0.5,0,0.5")


def resolve(base: RunConfig | None = None, /, *, fields: dict[str, Any]) -> RunConfig:
    """Return the configuration with the options the user gave; None leaves a default.

    Args:
        base: What to start from; the defaults when None.
        fields: Field names and values.
    """
    return (base or RunConfig()).changed(fields)


STEERING = {
    "method": "steer_method", "site": "steer_site", "vector": "steer_vector", "neurons": "steer_neurons",
    "heads": "steer_heads", "on": "steer_positions", "operation": "steer_operation", "option": "steer_options",
    "gate": "steer_gate", "conflict": "steer_conflict",
}  # fmt: skip
"""What a command that runs a model calls these fields."""
AS_FIELDS = STEERING | {"values": "steer_value", "versions": "steer_versions", "limit": "steer_limit"}
"""What a command of which `steered` makes the configuration calls these fields."""
LOADING = ("model", *(one.name for one in fields(Loading)), "trust_remote_code")
"""How a model is loaded; every command that loads one has them all."""
RUNNING = (*LOADING, "batch_tokens", "too_long", "data", "seed", "stop", "dose")
BY_NAME = (*RUNNING, "benchmark", "null_arms", "null_draws")
WORDS = ("values", "versions", "benchmark", "null_arms")


def running(given: Mapping[str, Any], *, named: bool = True) -> dict[str, Any]:
    """Return how a command's model is loaded, run and steered, from the command's own arguments by their names.

    Args:
        given: The arguments, `--model` among them.
        named: The model must be named.

    Raises:
        typer.BadParameter: No model was named.
    """
    if named:
        need(given["model"], "--model")
    given = _one_by_one(given)
    told = {name: given[name] for name in RUNNING if name in given}
    return told | {field: given[name] for name, field in STEERING.items() if name in given}


def _one_by_one(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a command's arguments with those of `Loading` among them."""
    return {**given, **vars(given["loading"])} if "loading" in given else {**given}


def beside(folder: Path | None, config: RunConfig) -> RunConfig:
    """Return a configuration whose model is loaded as a run's activations were recorded, and say what is different.

    Args:
        folder: A run; None where none is used.
        config: What was asked for.

    Raises:
        StoreError: Other weights than those recorded.
    """
    from vprobe import pipeline

    if folder is None:
        return config
    told = pipeline.otherwise(folder, config)
    if told:
        sys.stderr.write(told + "\n")
    return pipeline.as_recorded(folder, config)


def of_run(folder: Path | None) -> RunConfig | None:
    """Return the defaults of a command beside a run: its benchmark, and a method it has directions of.

    Args:
        folder: A run; None, or one without directions, leaves the defaults as they are.
    """
    from vprobe import pipeline, store

    return pipeline.as_read(folder) if folder is not None and store.has(folder, "directions") else None


def steered(given: Mapping[str, Any], base: RunConfig | None = None, *, every: bool = False) -> RunConfig:
    """Return the configuration of a command that steers, from its own arguments by their names.

    Args:
        given: The arguments; those that are no settings are passed over. Of the run `folder` among them the model is
            loaded as it was when activations were recorded.
        base: What to start from; the defaults when None.
        every: Where no value is named, all are meant.

    Raises:
        InputError: Strengths that are not numbers.
        StoreError: Other weights than those recorded.
    """
    given = _one_by_one(given)
    told = {
        name: split(given[name]) if name in WORDS else given[name] for name in (*AS_FIELDS, *BY_NAME) if name in given
    }
    settings = {AS_FIELDS.get(name, name): value for name, value in told.items()}
    if every and not settings["steer_value"]:
        settings["steer_value"] = ("all",)
    settings["strengths"] = numbers(given.get("strengths"), where="--strengths")
    return beside(given.get("folder"), resolve(base, fields=settings))


def need(value: _Given | None, flag: str) -> _Given:
    """Return an option that must be given.

    Raises:
        typer.BadParameter: It was not given (a usage error, exit 2).
    """
    if not value:
        raise typer.BadParameter(f"{flag} is needed", param_hint=flag)
    return value
