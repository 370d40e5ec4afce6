"""`manage.py errors`: the catalogue of all that can be answered to a wrong request, written from the classes."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandParser
from django.utils.module_loading import module_has_submodule

from apps.errors import UserError
from lathe.errors import request_problems

HEAD = """\
# Errors

Everything that can be wrong with a request has a code that never changes and a sentence that says what to do. A page
shows the sentence; the API answers with problem details (RFC 9457, `application/problem+json`):

```json
{
  "type": "urn:lathe:problem:model.name_taken",
  "title": "Conflict",
  "status": 409,
  "detail": "The team has a model called “resnet” already. Choose another name, or add a version to that model.",
  "code": "model.name_taken",
  "errors": [{"field": "name", "code": "model.name_taken", "message": "The team has a model called …"}]
}
```

`errors` is there where single fields are wrong: `field` is the path with dots (`constraints.min_speedup`), or null
where it is the body as a whole. Programs should look at `code`, never at the sentence, which may be worded better one
day.

This page is written by `manage.py errors --write docs/errors.md`.

"""
REQUEST = """\
## Any request

What may be wrong whatever a request is about. With `request.invalid`, the codes in `errors` say what is wrong with
each field: `required`, `null`, `blank`, `invalid`, `invalid_choice`, `max_length`, `unknown` (a parameter that the list
does not have), and others that explain themselves. `request.throttled`, and whatever has the status 503, comes with
`Retry-After`, in seconds: what was asked for was not begun, and may be asked for again.

"""
ALL = """\
## What is asked for

The same codes stand in `refusal_code` of a version or data set whose check found something, and in `error_code` of a
step or a session that failed; the HTTP status counts only where the code is the answer to a request. Words in *italics*
are filled in.

"""


class Command(BaseCommand):
    help = "Print the catalogue of errors as Markdown, or write it to a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--write", type=Path, metavar="FILE", help="where to write the page")

    def handle(self, **options: Any) -> None:
        target: Path | None = options["write"]
        if target is None:
            self.stdout.write(page(), ending="")
        else:
            target.write_text(page(), encoding="utf-8")
            self.stdout.write(f"The catalogue of {len(catalogue())} errors is in {target}.")


def page() -> str:
    """docs/errors.md."""
    requests = ((one.code, one.status, readable(one.detail)) for one in request_problems())
    ours = ((error.code, error.status, readable(error.sentence)) for error in catalogue())
    return f"{HEAD}{REQUEST}{_table(requests)}\n{ALL}{_table(ours)}"


def catalogue() -> list[type[UserError]]:
    """Every error of every app, by code; not those of tests or of techniques from elsewhere."""
    for app in apps.get_app_configs():
        if app.module is not None and app.name.startswith("apps.") and module_has_submodule(app.module, "errors"):
            import_module(f"{app.name}.errors")
    ours = (error for error in UserError.catalogue() if error.__module__.startswith("apps."))
    return sorted(ours, key=lambda error: error.code)


def readable(sentence: str) -> str:
    """The sentence with what is filled in as words in italics."""
    return "".join(_parts(sentence))


def _parts(sentence: str) -> Iterator[str]:
    for text, name, _, _ in string.Formatter().parse(sentence):
        yield text
        if name is not None:
            yield f"*{name.replace('_', ' ')}*"


def _table(rows: Iterable[tuple[str, int, str]]) -> str:
    lines = [f"| `{code}` | {status} | {sentence} |" for code, status, sentence in sorted(rows)]
    return "\n".join(["| code | status | sentence |", "|---|---|---|", *lines, ""])
