"""The names of the curves by which pages show trials while they are made. Light."""

from __future__ import annotations

TRIAL_LOSS, TRIAL_LATENCY, TRIAL_PARAMETERS = "trial loss", "trial latency ms", "trial parameters"
"""The step of each point is the number of the trial, from 1."""
TRIAL_CURVES = (TRIAL_LOSS, TRIAL_LATENCY, TRIAL_PARAMETERS)
