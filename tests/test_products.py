"""Products by oneDNN: the same numbers, the same weights, and only where they gain."""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D
from vprobe.backends import _products

LARGE = 256  # 128 x 256 x 256 is the smallest product that gains
pytestmark = pytest.mark.skipif(
    getattr(torch.ops.mkldnn, "_linear_pointwise", None) is None, reason="this PyTorch is built without oneDNN"
)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """Take oneDNN on every CPU, and note the shapes of what it is given."""
    shapes: list[tuple[int, ...]] = []
    product = _products._product
    monkeypatch.setattr(_products, "available", lambda: True)
    monkeypatch.setattr(_products, "_product", lambda x, *rest: shapes.append(tuple(x.shape)) or product(x, *rest))
    yield shapes


def layers(bias: bool) -> list[nn.Module]:
    torch.manual_seed(0)
    turned = Conv1D(LARGE, LARGE)
    nn.init.normal_(turned.bias)
    return [nn.Linear(LARGE, LARGE, bias=bias), turned]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(128, LARGE), (2, 65, LARGE), (1, 300, LARGE)])
def test_the_same_numbers(called: list[tuple[int, ...]], shape: tuple[int, ...], bias: bool) -> None:
    for layer in layers(bias):
        x = torch.randn(shape)
        for given in (x, torch.randn(*shape[:-1], 2 * LARGE)[..., ::2]):
            fast, exact = copy.deepcopy(layer), copy.deepcopy(layer).double()(given.double())
            assert _products.hasten(fast) == 1
            with torch.inference_mode():
                y = fast(given)
            assert y.shape == exact.shape
            assert (y.double() - exact).norm() <= 2e-6 * exact.norm()
            assert called.pop() == shape


def test_small_products_stay_with_pytorch(called: list[tuple[int, ...]]) -> None:
    layer = nn.Linear(LARGE, LARGE)
    _products.hasten(layer)
    with torch.inference_mode():
        layer(torch.randn(127, LARGE))
        layer(torch.randn(1, 127, LARGE))
        assert called == []
        layer(torch.randn(1, 128, LARGE))
    assert called == [(1, 128, LARGE)]


def test_what_needs_a_gradient_gets_one(called: list[tuple[int, ...]]) -> None:
    for layer in layers(True):
        _products.hasten(layer.requires_grad_(False))
        x = torch.randn(200, LARGE, requires_grad=True)
        layer(x).sum().backward()
        weight: torch.Tensor = layer.weight  # pyright: ignore[reportAssignmentType]
        sums = weight.sum(0 if isinstance(layer, nn.Linear) else 1)
        torch.testing.assert_close(x.grad, sums.expand(200, -1))
    trained = nn.Linear(LARGE, LARGE)
    _products.hasten(trained)
    trained(torch.randn(200, LARGE)).sum().backward()
    assert trained.weight.grad is not None and called == []


def test_only_plain_float32_layers_change(called: list[tuple[int, ...]]) -> None:
    class Other(nn.Linear):
        pass

    half, other, meta = nn.Linear(8, 8).bfloat16(), Other(8, 8), nn.Linear(8, 8, device="meta")
    model = nn.Sequential(half, other, meta, nn.LayerNorm(8), nn.Linear(8, 8))
    assert _products.hasten(model) == 1
    assert [type(module) for module in model] == [nn.Linear, Other, nn.Linear, nn.LayerNorm, _products.Linear]
    assert _products.hasten(model) == 0, "once is enough"


@pytest.mark.parametrize(
    ("vectors", "maker", "count"),
    [("AVX512", "AuthenticAMD", 1), ("AVX2", "AuthenticAMD", 0), ("AVX512", "GenuineIntel", 0), ("DEFAULT", "", 0)],
)
def test_only_on_cpus_where_it_gains(monkeypatch: pytest.MonkeyPatch, vectors: str, maker: str, count: int) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: vectors)
    monkeypatch.setattr(_products, "_cpu", lambda: f"vendor_id : {maker}")
    layer = nn.Linear(8, 8)
    assert _products.hasten(layer) == count
    assert (type(layer) is nn.Linear) == (count == 0)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_whole_model(called: list[tuple[int, ...]], kind: str) -> None:
    torch.manual_seed(0)
    if kind == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=500, hidden_size=LARGE, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
                tie_word_embeddings=True,
            )
        )  # fmt: skip
    else:
        model = GPT2LMHeadModel(GPT2Config(vocab_size=500, n_embd=LARGE, n_layer=2, n_head=4))
    model.eval()
    ids = torch.randint(500, (3, 60))
    with torch.inference_mode():
        plain = model(ids).logits
        kept = {name: x.clone() for name, x in model.state_dict().items()}
        count = _products.hasten(model)
        other = copy.deepcopy(model)
        fast = model(ids).logits
        used = len(called)
        other.lm_head.weight.zero_()
        assert model(ids).logits.abs().max() > 0, "a copy has its own weights"
    assert used == count == (15 if kind == "llama" else 9)
    assert (fast - plain).norm() <= 1e-5 * plain.norm()
    assert all(torch.equal(x, kept[name]) for name, x in model.state_dict().items())


def test_a_model_turned_to_another_format_later_runs_as_pytorch_runs_it(called: list[tuple[int, ...]]) -> None:
    x = torch.randn(200, LARGE).bfloat16()
    for layer in layers(True):
        fast = copy.deepcopy(layer)
        _products.hasten(fast)
        with torch.inference_mode():
            assert torch.equal(fast.bfloat16()(x), layer.bfloat16()(x))
    assert called == []


GROWTH = """
import torch
from pathlib import Path
from vprobe.backends import _products

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

torch.set_num_threads(1)
_products.available = lambda: True
layer = torch.nn.Linear(512, 1376)
assert _products.hasten(layer) == 1
x = torch.randn(800, 512)
with torch.inference_mode():
    layer(x)
    before = held()
    for length in range(300, 500):
        layer(x[:length])
print((held() - before) // 2**20)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is looked up as Linux tells it")
def test_memory_does_not_grow_with_the_lengths_that_come() -> None:
    kept = {k: v for k, v in os.environ.items() if not k.endswith("CACHE_CAPACITY")}
    said = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True, env=kept)
    assert int(said.stdout) < 150, "MiB over 200 lengths"
