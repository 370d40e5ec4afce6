"""Whether TensorFlow computes on CUDA here: see `apps.agents.measuring.acceleration`."""

from __future__ import annotations

import tensorflow as tf

from apps.agents.contracts.acceleration import RuntimeOnDevice
from apps.agents.contracts.formats import Framework


def tried() -> RuntimeOnDevice:
    providers = tuple(one.device_type for one in tf.config.list_physical_devices())
    if "GPU" not in providers:
        reason = "its TensorFlow finds no device: it is a build for the CPU, or CUDA's libraries are missing"
        return RuntimeOnDevice(framework=Framework.TENSORFLOW, computes=False, providers=providers, reason=reason)
    try:
        with tf.device("/GPU:0"):
            tf.reduce_sum(tf.ones((2, 2))).numpy()
    except tf.errors.OpError as error:
        reason = f"its TensorFlow cannot use the device ({' '.join(str(error.message).split())[:200].rstrip('.')})"
        return RuntimeOnDevice(framework=Framework.TENSORFLOW, computes=False, providers=providers, reason=reason)
    return RuntimeOnDevice(framework=Framework.TENSORFLOW, computes=True, providers=providers)


if __name__ == "__main__":
    print(tried().model_dump_json())
