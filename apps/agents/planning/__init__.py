"""The PlanningAgent: which candidates to try, what each should gain, and what to try if one loses too much.

Pure functions without heavy libraries, because the web process previews plans. It imports `techniques` and the packages
below. Add a rule of order or of repair here. A rule about a single technique belongs to that technique.
"""
