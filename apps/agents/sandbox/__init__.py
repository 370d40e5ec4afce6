"""Child processes that cannot harm the worker: limits, supervision, the pipe of events, and a clean end.

Whatever runs a stranger's model runs in one. The platform's workers, `packaging.recipe` and the timing processes of
`measuring` import it; it imports `contracts` only. Add a limit on what a step may take here.
"""
