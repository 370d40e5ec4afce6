"""Child processes that cannot harm the worker: limits, supervision, the pipe of events, and a clean end.

Every untrusted model runs in one. A child uses `programs` to start further processes and wait for them. The platform's
workers, `packaging` and `measuring` import this package; it imports only `contracts`. Add a limit on the resources of a
step here, a library that children wait for in `preloads`, and what a child may reach in `walls`.
"""
