"""Whether PyTorch computes on CUDA here: see `apps.agents.measuring.acceleration`."""

from __future__ import annotations

import torch

from apps.agents.contracts.acceleration import RuntimeOnDevice
from apps.agents.contracts.formats import Framework


def tried() -> RuntimeOnDevice:
    if torch.version.cuda is None:
        return RuntimeOnDevice(
            framework=Framework.TORCH, computes=False, providers=("cpu",), reason="its PyTorch is a build for the CPU"
        )
    providers = ("cpu", f"cuda {torch.version.cuda}")
    try:
        torch.ones(2, 2, device="cuda").sum().item()
    except RuntimeError as error:  # Also of a driver that is too old.
        reason = f"its PyTorch cannot use the device ({' '.join(str(error).split())[:200].rstrip('.')})"
        return RuntimeOnDevice(framework=Framework.TORCH, computes=False, providers=providers, reason=reason)
    return RuntimeOnDevice(framework=Framework.TORCH, computes=True, providers=providers)


if __name__ == "__main__":
    print(tried().model_dump_json())
