"""Planning: which candidates to try, what each should gain, and what to try when one loses too much."""

from apps.agents.planning.agent import PlanningAgent, plan_preview

__all__ = ["PlanningAgent", "plan_preview"]
