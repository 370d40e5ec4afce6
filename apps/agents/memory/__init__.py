"""The MemoryManager: the history of all sessions, and how it moves the numbers that the planner starts from.

Pure functions of experiences, without heavy libraries, because the web process previews plans. Where experiences are
kept is behind the port `history.History`. It imports `techniques` and the packages below. Add what makes two sessions
comparable, or how experience is weighed against the tables, here.
"""
