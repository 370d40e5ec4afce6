"""The value that an action is."""

from __future__ import annotations

from dataclasses import dataclass

from apps.guide.finding import Finding


@dataclass(frozen=True)
class Action(Finding):
    """Something to do. Without `posts` and `script`, a link to the form that asks for the rest.

    The address is that of a button which some page has as well, and its view checks anew who may press it.
    """

    posts: bool = False
    name: str = ""
    """The one field that is posted, if there is one, with its `value`."""
    value: str = ""
    question: str = ""
    """Asked first, before what cannot be undone."""
    script: str = ""
    """The `data-action` of the pages' own script, which needs no request."""
