"""How fast a generative language model reads a prompt and generates tokens, with a cache."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from apps.agents.backends.torch.engine import device_of, use_threads
from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.profile import clock_of
from apps.agents.contracts.criteria import Target
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.analysis import Generation
from apps.agents.measuring.engine import Feeds

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LONGEST_PROMPT = 128
TOKENS = 16
"""Tokens generated in one go; their times have one median."""
WARMUP_RUNS = 1
RUNS = 5


def measure_generation(model: TorchModel, feeds: Feeds, target: Target) -> Generation | None:
    """Times of one sequence that starts with the first row of `feeds`, without padding, at most `LONGEST_PROMPT`
    tokens.

    `None` for a model that does not generate, or whose context has no room for a prompt token and `TOKENS` more.
    """
    language = model.summary.language
    if model.format is not Format.TRANSFORMERS or language is None or not language.generative:
        return None
    room = (language.context_length or LONGEST_PROMPT + TOKENS) - TOKENS
    if room < 1:
        return None
    device = device_of(target)
    prompt = _prompt(feeds, min(room, LONGEST_PROMPT)).to(device)
    use_threads(target.threads)
    now = clock_of(target.device)
    with torch.inference_mode():
        runs = [_write(model.module.to(device), prompt, now) for _ in range(WARMUP_RUNS + RUNS)][WARMUP_RUNS:]
    decode_s = statistics.median(seconds for _, tokens in runs for seconds in tokens)
    return Generation(
        prompt_tokens=prompt.shape[1],
        prefill_ms=statistics.median(prefill for prefill, _ in runs) * 1000,
        decode_ms_per_token=decode_s * 1000,
        tokens_per_s=1 / decode_s,
    )


def _prompt(feeds: Feeds, longest: int) -> torch.Tensor:
    """Token ids [1, tokens] of the first row, from its first token that is not padding."""
    row = torch.from_numpy(feeds["input_ids"][0].astype("int64"))
    if "attention_mask" in feeds:
        row = row[torch.from_numpy(feeds["attention_mask"][0].astype("bool"))]
    return row[:longest][None]


def _write(module: PreTrainedModel, prompt: torch.Tensor, now: Callable[[], float]) -> tuple[float, list[float]]:
    """Seconds for reading `prompt`, and for each of `TOKENS` tokens, always the most likely one."""
    start = now()
    state = module(input_ids=prompt, use_cache=True)
    prefill_s = now() - start
    tokens_s = []
    for _ in range(TOKENS):
        start = now()
        token = state.logits[:, -1:].argmax(-1)
        state = module(input_ids=token, past_key_values=state.past_key_values, use_cache=True)
        tokens_s.append(now() - start)
    return prefill_s, tokens_s
