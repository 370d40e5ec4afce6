"""Which candidates to try, what each should gain, and what to try when one loses too much: the PlanningAgent.

Light and pure: the preview of a plan runs in the web process. Imports `techniques` and what lies below. Add a rule of
order or of repair here; what concerns one technique belongs to that technique.
"""
