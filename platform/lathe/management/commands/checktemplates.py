"""`manage.py checktemplates`: compiles every template, so that errors are found before release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template import TemplateDoesNotExist, TemplateSyntaxError, engines
from django.template.backends.django import DjangoTemplates
from django.template.base import Template
from django.template.loader_tags import ExtendsNode, IncludeNode


class Command(BaseCommand):
    help = "Compile every template of the project, and check that the templates it extends or includes exist."

    def handle(self, **options: Any) -> None:
        engine = engines["django"]
        assert isinstance(engine, DjangoTemplates)
        folders = [Path(folder) for folder in engine.engine.dirs]
        names = sorted(
            str(path.relative_to(folder)) for folder in folders for path in folder.rglob("*") if path.is_file()
        )
        problems = [problem for name in names for problem in self._problems(engine, name)]
        for problem in problems:
            self.stderr.write(problem)
        if problems:
            raise CommandError(f"{len(problems)} of {len(names)} templates have a problem. See above.")
        self.stdout.write(f"{len(names)} templates compile.")

    @staticmethod
    def _problems(engine: DjangoTemplates, name: str) -> list[str]:
        try:
            template = engine.engine.get_template(name)
        except (TemplateSyntaxError, UnicodeDecodeError) as error:
            return [f"{name}: {error}"]
        missing = []
        for other in _named_templates(template):
            try:
                engine.engine.get_template(other)
            except TemplateDoesNotExist:
                missing.append(f"{name}: the template {other} does not exist")
            except TemplateSyntaxError:
                continue  # reported under its own name
        return missing


def _named_templates(template: Template) -> set[str]:
    """The templates that this one names literally in `extends` and `include`."""
    named = set()
    for node in template.nodelist.get_nodes_by_type((ExtendsNode, IncludeNode)):  # type: ignore[arg-type]
        source: Any = node.parent_name if isinstance(node, ExtendsNode) else node.template  # type: ignore[attr-defined]
        if isinstance(source.var, str):
            named.add(source.var)
    return named
