"""Original and candidate on the same examples: metrics, fidelity, speed, and the verdicts on the criteria.

Home of the EvaluationAgent and of the rule that a session is never worse off: `selection` accepts a candidate only when
every constraint holds, else the original stands. Imports `measuring`, `datasets` and what lies below. Add a metric in
`metrics`, a constraint in `verdicts`.
"""
