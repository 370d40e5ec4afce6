"""The handler of an optimize step that finds a CUDA device which other programs have nearly filled."""

from __future__ import annotations

import torch

from apps.agents.contracts.job import JobResult
from apps.agents.handlers import optimize as real
from apps.agents.sandbox.child import JobContext

LEFT_BYTES = 400 * 2**20


def optimize(context: JobContext) -> JobResult:
    """The real handler, with `LEFT_BYTES` of the device free once its libraries have theirs."""
    square, pictures = torch.ones(64, 64, device="cuda"), torch.ones(1, 3, 8, 8, device="cuda")
    torch.nn.functional.conv2d(pictures, torch.ones(4, 3, 3, 3, device="cuda")).sum().item()
    (square @ square).sum().item()
    taken = torch.empty(torch.cuda.mem_get_info()[0] - LEFT_BYTES, dtype=torch.uint8, device="cuda")
    result = real.run(context)
    del taken
    return result
