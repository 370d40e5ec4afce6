"""Child processes that cannot harm the worker: limits, supervision, the pipe of events, and a clean end.

Whatever runs a stranger's model runs in one; what a child starts itself and waits for, it starts by `programs`. The
platform's workers, `packaging` and `measuring` import it; it imports `contracts` only. Add a limit on what a step may
take here.
"""
