"""Give EfficientNet-lite0 a head for CIFAR-10; run as a module, in a process of its own.

    python -m tests.assets.efficientnet LIBRARY weights.pth PICTURES.png LABELS.json OUT.pth

The head is a logistic regression on the pooled features of the first `EXAMPLES` training pictures, which are in no
test. Everything below it stays as published. Writes a state dict for ten classes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tests.assets.cifar10 import CLASSES, enlarged, read_labels, read_pictures

EXAMPLES = 800
BATCH = 2
"""Larger ones take more than twice the time for each picture: their activations leave the caches."""
PENALTY = 0.003
"""Weight of the squared norm of the standardized head's weights."""


def pooled_features(model: nn.Module, sheet: Path) -> Tensor:
    """Float32 [EXAMPLES, 1280], the head's input."""
    parts = []
    with torch.inference_mode():
        for pictures in np.split(read_pictures(sheet)[:EXAMPLES], EXAMPLES // BATCH):
            images = torch.from_numpy(enlarged(pictures))
            parts.append(model.extract_features(images).mean((2, 3)))
    return torch.cat(parts).clone()


def fit_head(features: Tensor, labels: Tensor) -> nn.Linear:
    """Multinomial logistic regression by L-BFGS on standardized features, the standardization folded into it."""
    mean, spread = features.mean(0), features.std(0).clamp(min=1e-3)
    standard = (features - mean) / spread
    head = nn.Linear(features.shape[1], len(CLASSES))
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(head(standard), labels) + PENALTY * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        head.weight.div_(spread)
        head.bias.sub_(head.weight @ mean)
    return head


def main() -> None:
    library, weights, sheet, labels, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    sys.path.insert(0, str(library))
    from efficientnet_lite_pytorch import EfficientNet  # what is fetched is on no path before

    state = torch.load(weights, weights_only=True)
    model = EfficientNet.from_name("efficientnet-lite0").eval()
    model.load_state_dict(state)
    features = pooled_features(model, sheet)
    head = fit_head(features, torch.from_numpy(read_labels(labels)[:EXAMPLES]))
    state |= {"_fc.weight": head.weight.detach(), "_fc.bias": head.bias.detach()}
    torch.save(state, out)


if __name__ == "__main__":
    main()
