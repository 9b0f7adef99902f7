"""Tiny random language models of many families, and tiny byte-level tokenizers with several chat templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging as hf_logging

D_MODEL, LAYERS, CONTEXT = 32, 3, 192

_CORPUS = (
    "the quick brown fox likes people who are kind and honest to each other",
    "very much like me somewhat like me a little like me not like me not like me at all like me",
    "User: what should I do? Bot: I think you should help your friend and say sorry.",
    "Title: my friend\n\nScenario: they broke a promise.\n\nResponse: keep calm.\n\nIMPORTANT: answer now",
    "power achievement hedonism stimulation universalism benevolence tradition security 0 1 2 3 4 5",
)
_SPECIAL = (
    "<|endoftext|>", "<s>", "</s>", "<|im_start|>", "<|im_end|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|user|>", "<|assistant|>", "<|end|>",
)  # fmt: skip

TEMPLATES: dict[str, str | None] = {
    "chatml": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "inst": "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% elif m['role'] == 'assistant' %} {{ m['content'] }}</s>{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    "llama3": "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    "phi3": "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}",
    "words": "{% for m in messages %}{% if m['role'] == 'user' %}User: {{ m['content'] | trim }}\nBot:{% else %}"
    " {{ m['content'] | trim }}\n{% endif %}{% endfor %}",
    "bare": "{% for m in messages %}{% if m['role'] == 'user' %}Q: {{ m['content'] }}\nA:{% else %}"
    " {{ m['content'] }}{% endif %}{% endfor %}",
    "thinking": "{% for m in messages %}{% if m['role'] == 'assistant' %}<|im_start|>assistant\n"
    "{% if loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}<|im_end|>\n{% else %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
    "plain": None,
}


def tokenizer(
    style: str = "chatml", *, bos: bool = False, trim_offsets: bool = True, texts: Sequence[str] = _CORPUS
) -> PreTrainedTokenizerFast:
    """Train a byte-level tokenizer of few tokens on some texts; `style` names its chat template, "plain" has none."""
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=trim_offsets)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400 if texts is _CORPUS else 2000,
        special_tokens=[],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    engine.train_from_iterator(texts, trainer)
    strips = style == "phi3"
    engine.add_special_tokens([AddedToken(text, rstrip=strips and text.startswith("<|")) for text in _SPECIAL])
    engine.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    engine.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    if bos:
        start = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", engine.token_to_id("<s>"))])
        engine.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=trim_offsets), start])
    out = PreTrainedTokenizerFast(
        tokenizer_object=engine,
        bos_token="<s>",
        eos_token={"chatml": "<|im_end|>", "llama3": "<|eot_id|>", "phi3": "<|end|>"}.get(style, "</s>"),
        pad_token="<|endoftext|>",
        model_max_length=CONTEXT,
    )
    if TEMPLATES[style] is not None:
        out.chat_template = TEMPLATES[style]
    return out


_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def _usual(model_type: str, **extra: Any) -> Callable[[int], Any]:
    def make(vocab: int) -> Any:
        return AutoConfig.for_model(
            model_type,
            vocab_size=vocab,
            hidden_size=D_MODEL,
            intermediate_size=48,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            **_IDS,
            **extra,
        )

    return make


_GEMMA = {"num_key_value_heads": 2, "head_dim": 8}
_LOCAL = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
FAMILIES: dict[str, Callable[[int], Any]] = {
    "llama": _usual("llama", num_key_value_heads=2),
    "qwen2": _usual("qwen2", num_key_value_heads=2),
    "qwen3": _usual("qwen3", num_key_value_heads=2, head_dim=8),
    "gemma": _usual("gemma", **_GEMMA),
    "gemma2": _usual("gemma2", **_GEMMA, **_LOCAL),
    "gemma3_text": _usual("gemma3_text", **_GEMMA, **_LOCAL),
    "mistral": _usual("mistral", num_key_value_heads=2, sliding_window=16),
    "phi": _usual("phi"),
    "phi3": _usual("phi3", num_key_value_heads=2, sliding_window=None),
    "gpt_neox": _usual("gpt_neox"),
    "gpt2": lambda vocab: AutoConfig.for_model(
        "gpt2", vocab_size=vocab, n_embd=D_MODEL, n_layer=LAYERS, n_head=4, n_positions=CONTEXT, **_IDS
    ),
    "gpt_neo": lambda vocab: AutoConfig.for_model(
        "gpt_neo",
        vocab_size=vocab,
        hidden_size=D_MODEL,
        num_layers=4,
        num_heads=4,
        max_position_embeddings=CONTEXT,
        attention_types=[[["global", "local"], 2]],
        window_size=16,
        **_IDS,
    ),
    "olmo": _usual("olmo"),
    "olmo2": _usual("olmo2"),
}


def untrained(folder: Path, texts: Sequence[str], *, seed: int = 0) -> Path:
    """Save a random Llama that has room for whole rating prompts about texts like these, and knows no values."""
    return build("llama", folder, seed=seed, spread=0.02, texts=texts, context=1024)


def build(
    family: str, folder: Path, *, style: str = "chatml", seed: int = 0, spread: float = 0.25,
    texts: Sequence[str] = _CORPUS, context: int = CONTEXT,
) -> Path:  # fmt: skip
    """Save a tiny random model of a family with its tokenizer; large weights keep its logits well apart."""
    words = tokenizer(style, texts=texts)
    words.model_max_length = context
    config = FAMILIES[family](len(words))
    if context != CONTEXT:
        config.max_position_embeddings = context
    config.bos_token_id, config.pad_token_id = words.bos_token_id, words.pad_token_id
    config.eos_token_id = words.eos_token_id
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "norm" in name or "ln_" in name:
                    weight.add_(torch.randn_like(weight) * 0.1)
                else:
                    weight.copy_(torch.randn_like(weight) * spread)
    model.generation_config.eos_token_id = words.eos_token_id
    hf_logging.disable_progress_bar()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    hf_logging.enable_progress_bar()
    return folder
