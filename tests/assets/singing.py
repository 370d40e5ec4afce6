"""Windows of recorded singing as basic-pitch takes them: 43,844 samples, about 2 s at 22,050 Hz."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

RATE_HZ = 22_050
WINDOW_SAMPLES = 43_844


def read_recording(path: Path) -> np.ndarray:
    """A WAV of one channel, 16 bits and twice the rate as float32 [samples] of about -1 to 1 at `RATE_HZ`."""
    with wave.open(str(path)) as recording:
        if (recording.getnchannels(), recording.getsampwidth(), recording.getframerate()) != (1, 2, 2 * RATE_HZ):
            raise ValueError(f"{path.name}: one channel of 16 bits at {2 * RATE_HZ} Hz is expected")
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
    return resample_poly(samples.astype(np.float64) / 2**15, 1, 2).astype(np.float32)


def windows(recordings: list[np.ndarray], count: int) -> np.ndarray:
    """float32 [count, 43844, 1]: one of each recording in turn, spread evenly over it; many of them overlap."""
    each = -(-count // len(recordings))
    starts = [np.linspace(0, len(one) - WINDOW_SAMPLES, each).astype(int) for one in recordings]
    cut = [one[at[turn] :][:WINDOW_SAMPLES] for turn in range(each) for one, at in zip(recordings, starts, strict=True)]
    return np.stack(cut[:count])[:, :, None]
