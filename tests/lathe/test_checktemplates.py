"""`manage.py checktemplates` finds what a person would otherwise find first."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.portable


@pytest.fixture
def templates(tmp_path, settings):
    """A folder that is the only one with templates."""
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path], "APP_DIRS": False}]

    def write(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / f"{name}.html").write_text(text)

    return write


def test_good_templates_are_counted(templates, capsys):
    templates(
        base="{% block main %}{% endblock %}", page="{% extends 'base.html' %}{% block main %}{{ x }}{% endblock %}"
    )
    call_command("checktemplates")
    assert capsys.readouterr().out == "2 templates compile.\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{% if x %}", "page.html: Unclosed tag on line 1: 'if'"),
        ("{% nosuchtag %}", "page.html: Invalid block tag on line 1: 'nosuchtag'"),
        ("{{ x|nosuchfilter }}", "page.html: Invalid filter: 'nosuchfilter'"),
        ("{% include 'gone.html' %}", "page.html: the template gone.html does not exist"),
        ("{% extends 'gone.html' %}", "page.html: the template gone.html does not exist"),
        ("{% if x %}{% include 'gone.html' %}{% endif %}", "page.html: the template gone.html does not exist"),
    ],
)
def test_a_problem_is_told_with_its_template(templates, capsys, text, problem):
    templates(page=text, other="fine")
    with pytest.raises(CommandError, match="1 of 2 templates have a problem"):
        call_command("checktemplates")
    assert problem in capsys.readouterr().err


def test_a_template_named_by_a_variable_is_left_to_the_page(templates):
    templates(page="{% include name %}")
    call_command("checktemplates")
