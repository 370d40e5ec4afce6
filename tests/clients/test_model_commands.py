"""`lathe card`, `lathe templates` and `lathe optimize --template` against the portal in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.models import cards
from apps.models.models import RegisteredModel
from apps.optimization.models import OptimizationSession, SessionTemplate
from lathe_client import commands
from tests.clients.in_process import portal_as
from tests.portal import world
from tests.portal.world import World

pytestmark = pytest.mark.portable
Lathe = Callable[..., tuple[int, str, str]]


@pytest.fixture
def everything(team: Team, owner: User) -> World:
    return world.build(team, owner)


@pytest.fixture
def lathe(
    everything: World, engineer: User, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Lathe:
    """The command: its exit code, output and errors."""
    monkeypatch.setattr(commands, "portal", lambda options: portal_as(engineer))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            commands.main(arguments)
        said = capsys.readouterr()
        return int(str(ended.value.code)), said.out, said.err

    return run


def test_a_card_is_written_section_by_section(lathe: Lathe, everything: World, tmp_path: Path) -> None:
    (tmp_path / "use.md").write_text("Sorting **clothes** ≤ 3 m.", encoding="utf-8")
    code, out, _ = lathe("card", "resnet", "--intended-use", str(tmp_path / "use.md"))
    assert (code, json.loads(out)["intended_use"]) == (0, "Sorting **clothes** ≤ 3 m.")
    (tmp_path / "limits.md").write_text("Not for faces.")
    assert lathe("card", "resnet", "--limitations", str(tmp_path / "limits.md"))[0] == 0
    texts = cards.texts_of(everything.model)
    assert (texts.intended_use, texts.limitations) == ("Sorting **clothes** ≤ 3 m.", "Not for faces.")
    read = json.loads(lathe("card", "resnet")[1])
    assert (read["revision"], read["edited_by"]) == (2, "emil@example.org")


def test_a_card_that_somebody_else_changes_meanwhile_is_not_written_over(
    lathe: Lathe, everything: World, owner: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "use.md").write_text("Mine.")
    patch = commands.Lathe.patch

    def later(portal: Any, path: str, body: Any) -> Any:
        cards.edit_card(everything.model, owner, intended_use="Theirs.")
        return patch(portal, path, body)

    monkeypatch.setattr(commands.Lathe, "patch", later)
    code, _, told = lathe("card", "resnet", "--intended-use", str(tmp_path / "use.md"))
    assert (code, "[model.card_changed_meanwhile]" in told) == (3, True), told
    assert cards.texts_of(everything.model).intended_use == "Theirs."


def test_what_is_no_text_or_no_model_is_refused(lathe: Lathe, tmp_path: Path) -> None:
    (tmp_path / "use.md").write_bytes(b"\xff")
    binary = lathe("card", "resnet", "--contacts", str(tmp_path / "use.md"))
    assert (binary[0], "is not a text in UTF-8" in binary[2]) == (3, True)
    missing = lathe("card", "resnet", "--contacts", str(tmp_path / "none.md"))
    assert (missing[0], "There is no file" in missing[2]) == (3, True)
    unknown = lathe("card", "nobody's")
    assert (unknown[0], "There is no model called “nobody's”" in unknown[2]) == (3, True)


def test_a_session_becomes_a_template_and_another_starts_from_it(lathe: Lathe, everything: World) -> None:
    session = str(everything.session.pk)
    code, out, _ = lathe("templates", "resnet", "--save", session, "--name", "Nightly", "--default")
    made = SessionTemplate.objects.get(name="Nightly")
    assert (code, out) == (0, f"{made.pk}\tNightly\tdefault\n")
    code, out, _ = lathe("templates", "resnet")
    assert sorted(out.splitlines()) == sorted([f"{made.pk}\tNightly\tdefault", f"{everything.template.pk}\tWeekly"])
    code, out, told = lathe("optimize", "resnet@production", "--template", "Nightly")
    assert code == 0, told
    started = OptimizationSession.objects.get(pk=out.strip())
    assert (started.version, started.dataset) == (everything.version, everything.dataset)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("templates", "resnet", "--name", "Nightly"), "give --save SESSION and --name NAME"),
        (("templates", "resnet", "--default"), "give --save SESSION and --name NAME"),
        (
            ("optimize", "resnet@production", "--template", "Hourly"),
            "called “Hourly”. Its templates: Weekly",
        ),
        (("optimize", "resnet@production", "--template", "Weekly", "--seed", "7"), "leave out --criteria and --seed"),
        (("optimize", "resnet@production", "--template", "Weekly", "--data", "x"), "not allowed with argument"),
        (("optimize", "resnet@production"), "one of the arguments --data --template is required"),
    ],
)
def test_what_a_template_does_not_go_with_is_said(lathe: Lathe, arguments: tuple[str, ...], told: str) -> None:
    code, _, said = lathe(*arguments)
    assert (code, told in said) == (3, True), said


def test_a_session_of_another_model_is_no_template_of_this_one(lathe: Lathe, everything: World) -> None:
    RegisteredModel.objects.create(team=everything.team, name="other")
    code, _, said = lathe("templates", "other", "--save", str(everything.session.pk), "--name", "Nightly")
    assert (code, "is not of the model “other”" in said) == (3, True)
