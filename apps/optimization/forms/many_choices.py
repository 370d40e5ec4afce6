"""A choice among more rows than a page can offer."""

from __future__ import annotations

from functools import cached_property, reduce
from operator import or_
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet


class SearchedChoiceField(forms.ModelChoiceField):
    """Offers the first few rows that match some words, and accepts any row of its queryset.

    A team has too many models to read through, and rendering all of them takes longer than a search. Rows are read when
    the choices are drawn; a form that only checks what was chosen reads nothing else.
    """

    MOST_OFFERED = 30
    SHOWN_WITH: tuple[str, ...] = ()
    """Relations that the labels of rows need."""
    NOT_SHOWN: tuple[str, ...] = ()
    """Long columns that they do not need."""

    def __init__(self, *lookups: str, **kwargs: Any) -> None:
        super().__init__(queryset=None, **kwargs)
        self.lookups = lookups
        self.words, self.chosen = "", None
        self.known: dict[str, Any] = {}
        """Rows that were read already, by the text of their key."""

    def offer(self, rows: QuerySet[Any], words: str, chosen: Any) -> None:
        """Accepts any of `rows`, and shows the first that match `words` and the chosen one."""
        self.queryset = rows
        self.words, self.chosen, self.known = words, chosen, {}
        self.__dict__.pop("_found", None)
        self.choices = self._offered

    @property
    def more(self) -> bool:
        """Whether more rows match than are offered."""
        return len(self._found) > self.MOST_OFFERED

    @property
    def offers_nothing(self) -> bool:
        """Whether no row matches, and none was chosen before."""
        return len(self._offered()) == 1

    @cached_property
    def _found(self) -> list[Any]:
        """The first rows that match, one more than are offered if there are as many."""
        fitting = self.queryset
        assert fitting is not None
        for word in self.words.replace("\x00", " ").split():
            fitting = fitting.filter(reduce(or_, (Q(**{f"{lookup}__icontains": word}) for lookup in self.lookups)))
        fitting = fitting.distinct() if self.words else fitting  # A version may have several aliases.
        return list(fitting.prefetch_related(*self.SHOWN_WITH).defer(*self.NOT_SHOWN)[: self.MOST_OFFERED + 1])

    def _offered(self) -> list[tuple[Any, str]]:
        shown = self._found[: self.MOST_OFFERED]
        self.known |= {str(row.pk): row for row in shown}
        if (held := self._held()) is not None and held not in shown:
            shown.insert(0, held)
        return [("", str(self.empty_label)), *((row.pk, self.label_from_instance(row)) for row in shown)]

    def to_python(self, value: Any) -> Any:
        """The row of this key, which is read only once. Raises `ValidationError` if it may not be chosen."""
        key = str(getattr(value, "pk", value))
        if key not in self.known and (row := super().to_python(value)) is not None:
            self.known[key] = row
        return self.known.get(key)

    def _held(self) -> Any:
        """The row chosen before; `None` if there is none or it may not be chosen."""
        try:
            return self.to_python(self.chosen)
        except ValidationError:
            return None


class VersionField(SearchedChoiceField):
    """The chosen version comes with its metadata."""

    NOT_SHOWN = ("metadata__body", "metadata__details")
