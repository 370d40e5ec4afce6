"""A choice among more rows than a page can offer."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet


class SearchedChoiceField(forms.ModelChoiceField):
    """Offers the first few rows that match some words, and accepts any row of its queryset.

    A team has too many models to read through, and rendering all of them takes longer than a search.
    """

    MOST_OFFERED = 30

    def __init__(self, *lookups: str, **kwargs: Any) -> None:
        super().__init__(queryset=None, **kwargs)
        self.lookups = lookups
        self.more = False
        """Whether more rows match than are offered."""

    def offer(self, rows: QuerySet[Any], words: str, chosen: Any) -> None:
        """Accepts any of `rows`, and shows the first that match `words` and the chosen one."""
        self.queryset = rows
        fitting = rows
        for word in words.replace("\x00", " ").split():
            fitting = fitting.filter(reduce(or_, (Q(**{f"{lookup}__icontains": word}) for lookup in self.lookups)))
        fitting = fitting.distinct() if words else fitting  # A version may have several aliases.
        shown = list(fitting[: self.MOST_OFFERED + 1])
        self.more = len(shown) > self.MOST_OFFERED
        shown = shown[: self.MOST_OFFERED]
        if (held := self._held(chosen)) is not None and held not in shown:
            shown.insert(0, held)
        self.choices = [("", self.empty_label), *((row.pk, self.label_from_instance(row)) for row in shown)]

    def _held(self, chosen: Any) -> Any:
        """The row chosen before; `None` if there is none or it may not be chosen."""
        try:
            return self.to_python(chosen)
        except ValidationError:
            return None
