"""Original and candidate on the same examples: metrics, fidelity, speed, and the verdicts on the criteria.

Contains the EvaluationAgent and the rule that a session never leaves anyone worse off: `selection` accepts a candidate
only if it meets every constraint; otherwise the original stands. Imports `measuring`, `datasets` and the rooms below
them. Add a metric in `metrics`, a constraint in `verdicts`.
"""
