"""A model that runs at NDIF: nnsight sends each forward there, and what was asked for comes back.

Nothing of this process is there but plain numbers, the names of modules and functions by their source. So activations
are taken whole and pooled here, texts share nothing (no cache travels), and changes are packed before they are sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, final

import torch
import transformers
from torch import Tensor, nn

from vprobe.backends import _loading
from vprobe.backends._carried import packed, plain
from vprobe.backends._families import Anatomy, Change, accepts, blocks_of
from vprobe.backends._fingerprint import known
from vprobe.backends._made import Load, carry_out
from vprobe.backends._steer import Passing
from vprobe.errors import ModelError

APART = "it runs elsewhere, and no cache travels"


def outside(name: str, *, revision: str, dtype: str) -> _loading.Loaded:
    """Load of a model that runs elsewhere only its configuration and tokenizer; its weights have no numbers here.

    Args:
        name: Hub id.
        revision: Hub commit, branch or tag; empty is the default.
        dtype: One of `_loading.DTYPES`; "auto" is the checkpoint's own.

    Raises:
        ModelError: It cannot be found, or is not a decoder-only language model.
    """
    common: dict[str, Any] = {"revision": revision or "main"}
    with _loading.quiet():
        config = _loading.attempt(
            lambda: transformers.AutoConfig.from_pretrained(name, **common), name, "its config.json"
        )
        _loading.check_kind(name, config)
        tokenizer = _loading.attempt(
            lambda: transformers.AutoTokenizer.from_pretrained(name, **common), name, "its tokenizer"
        )
        kind = _loading.dtype_of(dtype, torch.device("meta"))
        kind = (getattr(config, "dtype", None) or torch.float32) if kind == "auto" else kind
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config, dtype=kind)
    commit = str(getattr(config, "_commit_hash", None) or revision)
    mark = known(name, commit, model, tokenizer)
    return _loading.Loaded(model, tokenizer, commit, _loading.stops_of(model, tokenizer), mark)


def anatomy_of(model: Any, name: str) -> Anatomy:
    """Find a model's blocks by structure alone: weights that are elsewhere cannot be tried.

    Args:
        model: A causal language model, with or without the numbers of its weights.
        name: For errors.

    Raises:
        ModelError: The block list is not found.
    """
    blocks = blocks_of(model, name)
    points = ("embed", "resid_pre", "resid_post")
    return Anatomy(model.base_model, blocks, (), (), False, points, cached=False, forkable=False)


_Place = tuple[Any, bool, Load, bool]
"""The envoy of a module, whether what enters it is meant, what is changed there, and whether it is read."""


class _Looked:
    """A place that the next forwards are asked about."""

    def __init__(self, module: nn.Module, enters: bool, change: Any, every: list[_Looked]) -> None:
        self.module, self.enters, self.change, self._every = module, enters, change, every

    def remove(self) -> None:
        """Ask no more."""
        self._every.remove(self)


@final
class Away:
    """Forwards that run elsewhere.

    Args:
        wrapped: nnsight's `TransformersModel`.
        anatomy: Parts of the model inside.
        where: "ndif", or "local" to send a forward to this very process.
    """

    def __init__(self, wrapped: Any, anatomy: Anatomy, where: str) -> None:
        self._wrapped, self._remote = wrapped, True if where == "ndif" else where
        self._envoys = wrapped.interleaver.envoys
        self._order = {id(block): i for i, block in enumerate(anatomy.blocks)}
        self._looked: list[_Looked] = []

    def watch(self, module: nn.Module, enters: bool, change: Change) -> Any:
        """Have a session's changes made at what enters or leaves a block, and what flows on handed to it."""
        one = _Looked(module, enters, change, self._looked)
        self._looked.append(one)
        return one

    def run(self, module: nn.Module, given: dict[str, Any], *, logits: bool) -> Any:
        """Send a forward with its changes, and hand what came back to those who asked.

        Args:
            module: The whole model; its part without the unembedding cannot be sent alone.
            given: Its keywords.
            logits: They are wanted, not only what blocks hold.

        Raises:
            ModelError: The forward failed there, or a change cannot be sent.
        """
        if not logits and accepts(module, "logits_to_keep"):
            given = {**given, "logits_to_keep": 1}
        asked = [one for one in self._looked if isinstance(one.change, Passing)]  # others would end a forward early
        asked.sort(key=lambda one: (self._order[id(one.module)], not one.enters))
        places = [self._place(one) for one in asked]
        try:
            held, said = _sent(self._wrapped, places, given, self._remote)
        except Exception as error:
            raise ModelError(
                f"the forward failed where it was sent: {str(error).strip()[:300] or type(error).__name__}",
                where="--remote", do="check the key of NDIF, and whether it runs this model",
            ) from error  # fmt: skip
        back = iter(held)
        for one, (_, _, _, wanted) in zip(asked, places, strict=True):
            one.change.session.made(one.change.place, next(back) if wanted else None)
        return SimpleNamespace(logits=said, past_key_values=None)

    def _place(self, one: _Looked) -> _Place:
        """Return a place as it is sent."""
        session, place = one.change.session, one.change.place
        load = packed(session.changer, place, session.rows)
        return self._envoys[id(one.module)], one.enters, load, session.reads(place)


def _sent(wrapped: Any, places: Sequence[_Place], given: dict[str, Any], remote: Any) -> tuple[list[Tensor], Tensor]:
    """Run one trace elsewhere; its block holds nothing of vprobe's modules, which are not installed there."""
    import nnsight

    change = plain(carry_out, "this engine")
    with wrapped.trace(**given, remote=remote):
        kept = []
        for envoy, enters, load, wanted in places:
            out = envoy.input if enters else envoy.output
            x = out[0] if isinstance(out, tuple) else out
            if load:
                x = change(x, load)
                if enters:
                    envoy.input = x
                else:
                    envoy.output = (x, *out[1:]) if isinstance(out, tuple) else x
            if wanted:
                kept.append(x)
        held = nnsight.save(kept)
        said = nnsight.save(wrapped.output.logits)
    return list(held), said


@final
class Sent:
    """A model, or the part without its unembedding, whose forwards run elsewhere; all else is the model's own."""

    device = torch.device("cpu")

    def __init__(self, away: Away, whole: Any, module: Any) -> None:
        self._away, self._whole, self._module = away, whole, module

    def __call__(self, **given: Any) -> Any:
        """Send it."""
        return self._away.run(self._whole, given, logits=self._module is self._whole)

    def __getattr__(self, name: str) -> Any:
        """Return what the model itself has under this name."""
        return getattr(self._module, name)
