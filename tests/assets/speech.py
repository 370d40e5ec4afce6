"""Sounds for openwakeword's embedding, as the spectrograms it is fed with. Made here, seeded; they carry no labels.

A sound is a voiced tone with a gliding pitch and moving resonances, broken by pauses, over a little noise: enough
structure to move every channel of the network, as speech would.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

EXAMPLES = 400
RATE_HZ = 16_000
FRAMES = 76
SAMPLES = 160 * (FRAMES + 3)
"""One frame comes every 10 ms, and the transform takes three more than it gives."""
SEED = 0


def sound(generator: np.random.Generator) -> np.ndarray:
    """One sound of 0.8 s: float32 [SAMPLES] in the range of 16-bit samples."""
    time = np.arange(SAMPLES) / RATE_HZ
    pitch = np.linspace(*generator.uniform(80, 260, 2), SAMPLES)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    resonance = np.linspace(generator.uniform(300, 2500, 2), generator.uniform(300, 2500, 2), SAMPLES)
    voice = np.zeros(SAMPLES)
    for harmonic in range(1, 20):
        frequency = (harmonic * pitch)[:, None]
        strength = np.exp(-(((frequency - resonance) / 250) ** 2)).sum(1)
        voice += strength * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * generator.uniform(2, 6) * time + generator.uniform(0, 6)) + 0.3, 0, 1)
    noise = generator.normal(scale=generator.uniform(0.005, 0.1), size=SAMPLES)
    loudness = 10 ** generator.uniform(2.5, 4)
    return (loudness * (voice * syllables + noise)).astype(np.float32)


def write_examples(melspectrogram: Path, path: Path) -> None:
    """Write `input_1` (float32 [EXAMPLES, 76, 32, 1]) to the npz `path`, scaled as the package does."""
    session = onnxruntime.InferenceSession(str(melspectrogram), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(SEED)
    spectrograms = []
    for _ in range(EXAMPLES):
        decibels = session.run(None, {"input": sound(generator)[None]})[0].reshape(-1, 32)
        spectrograms.append(decibels[:FRAMES, :, None] / 10 + 2)
    np.savez_compressed(path, input_1=np.stack(spectrograms).astype(np.float32))
