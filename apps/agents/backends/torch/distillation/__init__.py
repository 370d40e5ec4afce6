"""Distillation: a smaller student learns from the original.

`narrowing.py`, `shortening.py` and `slimming.py` make students, `inside.py` reads what models compute between input and
output, `loss.py` compares it, and `agent.py` trains.
"""
