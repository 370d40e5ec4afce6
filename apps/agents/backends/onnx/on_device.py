"""Whether ONNX Runtime computes on CUDA here: see `apps.agents.measuring.acceleration`."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from apps.agents.backends.onnx import runtime
from apps.agents.contracts.acceleration import RuntimeOnDevice
from apps.agents.contracts.criteria import Device
from apps.agents.contracts.errors.running import DeviceMissing, ModelNotLoadable, ModelRunFailed
from apps.agents.contracts.formats import Framework


def tried() -> RuntimeOnDevice:
    offered = tuple(ort.get_available_providers())
    try:
        runtime.run(runtime.open_session(_sum(), device=Device.CUDA), {"x": np.ones((2, 2), np.float32)})
    except (DeviceMissing, ModelNotLoadable, ModelRunFailed) as error:
        return RuntimeOnDevice(framework=Framework.ONNX, computes=False, providers=offered, reason=_why(offered, error))
    return RuntimeOnDevice(framework=Framework.ONNX, computes=True, providers=offered)


def _why(offered: tuple[str, ...], error: Exception) -> str:
    if runtime.PROVIDERS[Device.CUDA] not in offered:
        return f"its ONNX Runtime is a build for the CPU, with {', '.join(offered)}"
    return f"its ONNX Runtime cannot use the device ({str(error).rstrip('.')})"


def _sum() -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "sum", [x], [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(made.SerializeToString())


if __name__ == "__main__":
    print(tried().model_dump_json())
