"""Links from pages into the documentation."""

from __future__ import annotations

from django import template

from apps.guide.help import help_address

register = template.Library()
register.simple_tag(help_address)
