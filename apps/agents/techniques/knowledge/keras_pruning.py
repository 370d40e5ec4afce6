"""What is known of structured pruning of Keras models."""

from __future__ import annotations

from apps.agents.techniques.knowledge.technique import TechniqueKnowledge

STRUCTURED = TechniqueKnowledge(tried_last=True, hands_on_to=("quantization",))
