"""Moves outliers from a norm's output into the linear layers after it, without changing the function (SmoothQuant).

A *site* is a norm whose output feeds only linear layers. Dividing the norm's weight (and bias) by s and multiplying the
linear layers' columns by s computes the same. s_j = max|X_j|^α / max|W_j|^(1−α) balances the extremes of channel j on
both sides (Xiao et al. 2023, https://arxiv.org/abs/2211.10438, equation 4).

Running the model shows which layers read a norm. Whether anything else does (a residual connection around a norm, a
norm that adds 1 to its weight) is found by trial: a norm that changes the outputs is not a site.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from apps.agents.backends.torch.model import TorchModel

SMALLEST_SCALE = 1e-5
"""A channel that is all zeros is left unchanged, which avoids a division by zero."""
SAME = 1e-4
"""Outputs that differ by more than this share of their largest value are different; float32 stays far below."""
_PROBE = 8.0
"""Scales of a trial lie between 1/8 and 8, so that a missed reader shows at once."""

Batch = dict[str, Tensor]


@dataclass
class Site:
    """`norm` scales X channel by channel; `linears` read it."""

    name: str
    norm: nn.Module
    linears: tuple[nn.Linear, ...]
    largest: Tensor = field(default_factory=lambda: torch.zeros(0))
    """The largest absolute value observed in each channel of X."""
    rows: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    """Some rows of X, `[rows, channels]`."""

    @property
    def channels(self) -> int:
        return int(self.vectors[0].numel())

    @property
    def vectors(self) -> tuple[nn.Parameter, ...]:
        """The norm's weight, and its bias if it has one."""
        found = (getattr(self.norm, name, None) for name in ("weight", "bias"))
        return tuple(vector for vector in found if isinstance(vector, nn.Parameter))

    def scale(self, alpha: float) -> Tensor:
        """s, `[channels]`."""
        weights = torch.stack([linear.weight.detach().abs().amax(0) for linear in self.linears]).amax(0)
        activations = self.largest.clamp(min=SMALLEST_SCALE)
        scale = (activations**alpha / weights.clamp(min=SMALLEST_SCALE) ** (1 - alpha)).clamp(min=SMALLEST_SCALE)
        return torch.where(self.largest > SMALLEST_SCALE, scale, torch.ones_like(scale))

    def smooth(self, scale: Tensor) -> None:
        """Divide the norm's channels by `scale` and multiply the linear layers' columns by it, in place."""
        with torch.no_grad():
            for vector in self.vectors:
                vector.div_(scale)
            for linear in self.linears:
                linear.weight.mul_(scale)


def find_sites(model: TorchModel, batch: Batch) -> tuple[Site, ...]:
    """The norms of `model` that can be smoothed. The model is unchanged afterwards."""
    with torch.no_grad():
        reference = model.call(batch)
        candidates = _candidates(model, batch)
        if candidates and _all_hold(model, batch, candidates, reference):
            return tuple(candidates)
        return tuple(site for site in candidates if _all_hold(model, batch, [site], reference))


def _candidates(model: TorchModel, batch: Batch) -> list[Site]:
    """Norms with the linear layers that were observed to read exactly their output."""
    made: dict[int, tuple[str, nn.Module, Tensor]] = {}
    readers: dict[str, list[nn.Linear]] = {}
    hooks = []

    def remember(name: str, norm: nn.Module, output: object) -> None:
        if isinstance(output, Tensor):
            made[id(output)] = name, norm, output  # Kept alive, so that its id is not reused.

    def notice(linear: nn.Linear, inputs: Sequence[object]) -> None:
        if inputs and (found := made.get(id(inputs[0]))) and linear not in readers.setdefault(found[0], []):
            readers[found[0]].append(linear)

    for name, module in model.module.named_modules():
        if isinstance(module, nn.Linear):
            hooks.append(module.register_forward_pre_hook(notice))
        elif _is_norm(module):
            hooks.append(module.register_forward_hook(lambda m, _, out, name=name: remember(name, m, out)))
    try:
        model.call(batch)
    finally:
        for hook in hooks:
            hook.remove()
    shared = _shared_weights(model.module)
    return [
        Site(name, norm, tuple(readers[name]))
        for name, norm, _ in made.values()
        # A weight that something else reads too (a head tied to the embedding) cannot be multiplied.
        if readers.get(name) and not any(id(linear.weight) in shared for linear in readers[name])
    ]


def _is_norm(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return "norm" in type(module).__name__.lower() and isinstance(weight, nn.Parameter) and weight.dim() == 1


def _shared_weights(module: nn.Module) -> set[int]:
    seen: dict[int, int] = {}
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            seen[id(parameter)] = seen.get(id(parameter), 0) + 1
    return {identity for identity, count in seen.items() if count > 1}


def _all_hold(model: TorchModel, batch: Batch, sites: Sequence[Site], reference: Sequence[Tensor]) -> bool:
    """Whether the outputs stay the same if the `sites` are smoothed with arbitrary scales."""
    random = torch.Generator().manual_seed(0)
    with kept(sites):
        for site in sites:
            exponents = 2 * torch.rand(site.channels, generator=random) - 1
            site.smooth(_PROBE**exponents)
        return largest_change(reference, model.call(batch)) <= SAME


@contextmanager
def kept(sites: Iterable[Site]) -> Iterator[None]:
    """Restore the sites' weights exactly at the end, whatever is done to them in between."""
    weights = [weight for site in sites for weight in (*site.vectors, *(linear.weight for linear in site.linears))]
    saved = [weight.detach().clone() for weight in weights]
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, original in zip(weights, saved, strict=True):
                weight.copy_(original)


def largest_change(before: Sequence[Tensor], after: Sequence[Tensor]) -> float:
    """The largest difference of any output, as a share of that output's largest value."""
    shares = [
        float((a - b).detach().float().abs().max() / a.detach().float().abs().max().clamp(min=1e-30))
        for a, b in zip(before, after, strict=True)
        if a.is_floating_point()
    ]
    return max(shares, default=0.0)


def observe(model: TorchModel, sites: Sequence[Site], batches: Iterable[Batch], rows: int) -> None:
    """Record what the `sites` received: largest values, and at most `rows` rows from the beginning of each batch."""
    kept_rows: dict[str, list[Tensor]] = {site.name: [] for site in sites}

    def look(site: Site, output: Tensor) -> None:
        flat = output.detach().reshape(-1, output.shape[-1]).float()
        largest = flat.abs().amax(0)
        site.largest = torch.maximum(site.largest, largest) if site.largest.numel() else largest
        kept_rows[site.name].append(flat[torch.linspace(0, len(flat) - 1, min(rows, len(flat))).long()])

    hooks = [site.norm.register_forward_hook(lambda _, __, out, site=site: look(site, out)) for site in sites]
    try:
        with torch.no_grad():
            for batch in batches:
                model.call(batch)
    finally:
        for hook in hooks:
            hook.remove()
    for site in sites:
        gathered = torch.cat(kept_rows[site.name])
        site.rows = gathered[torch.linspace(0, len(gathered) - 1, min(rows, len(gathered))).long()]


def best_alpha(sites: Sequence[Site], alphas: Sequence[float]) -> float:
    """The α with the smallest error of the linear layers in 8 bits, summed over the sites as shares of their energy."""
    with torch.no_grad():
        errors = [sum(_error(site, alpha) for site in sites) for alpha in alphas]
    return alphas[errors.index(min(errors))]


def _error(site: Site, alpha: float) -> float:
    scale = site.scale(alpha)
    rounded = rounded_by_row(site.rows / scale)
    noise = signal = 0.0
    for linear in site.linears:
        weight = linear.weight.float()
        exact = site.rows @ weight.T
        noise += float((rounded @ rounded_by_row(weight * scale).T - exact).square().sum())
        signal += float(exact.square().sum())
    return noise / signal if signal else 0.0


def rounded_by_row(matrix: Tensor) -> Tensor:
    """Rounded to signed 8 bits, centred on zero, with one scale per row: a token, or an output channel of a weight."""
    step = (matrix.abs().amax(-1, keepdim=True) / 127).clamp(min=1e-12)
    return (matrix / step).round() * step
