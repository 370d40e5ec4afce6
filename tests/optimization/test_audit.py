"""The audit trail only grows, in one chain, and every gap and change shows."""

from __future__ import annotations

import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.audit import trail
from apps.audit.models import GENESIS, AuditEvent, AuditHead
from apps.audit.querysets import AuditTrailImmutable
from apps.audit.trail import record
from apps.optimization.models import OptimizationSession

pytestmark = pytest.mark.django_db


def three_events(team: Team, user: User) -> list[AuditEvent]:
    return [record(f"thing.{name}", actor=user, team=team, data={"share": 0.25}) for name in ("made", "moved", "gone")]


def raw(statement: str, *values: object) -> None:
    """Past the ORM, as somebody with the database's password could."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_each_event_carries_the_digest_of_the_one_before(team: Team, engineer: User) -> None:
    first, second, third = three_events(team, engineer)
    assert first.previous == GENESIS
    assert (second.previous, third.previous) == (first.digest, second.digest)
    assert [first.sequence, second.sequence, third.sequence] == [1, 2, 3]
    assert trail.verify() is None


def test_an_event_says_who_did_it(team: Team, engineer: User) -> None:
    member, agent, system = (record("x", team=team, actor=actor) for actor in (engineer, "PlanningAgent", None))
    assert (member.actor_kind, member.actor, member.user_id) == ("user", engineer.email, engineer.pk)
    assert (agent.actor_kind, agent.actor, agent.user_id) == ("agent", "PlanningAgent", None)
    assert (system.actor_kind, system.actor) == ("system", "Lathe")


def test_the_orm_refuses_to_change_or_delete(team: Team, engineer: User) -> None:
    event = three_events(team, engineer)[0]
    event.reason = "another"
    for attempt in (
        event.save,
        event.delete,
        AuditEvent.objects.all().delete,
        lambda: AuditEvent.objects.update(reason="x"),
        lambda: AuditEvent.objects.bulk_update([event], ["reason"]),
        lambda: AuditEvent.objects.bulk_create([AuditEvent(action="x")]),
        lambda: AuditEvent.objects.update_or_create(sequence=1, defaults={"reason": "x"}),
        lambda: AuditEvent._base_manager.all().delete(),
    ):
        with pytest.raises(AuditTrailImmutable):
            attempt()
    assert AuditEvent.objects.count() == 3
    assert trail.verify() is None


def test_events_outlive_what_they_speak_of(session: OptimizationSession, team: Team) -> None:
    count = AuditEvent.objects.count()
    session.delete()
    assert AuditEvent.objects.count() == count
    assert trail.verify() is None


def test_numbers_survive_the_database(team: Team) -> None:
    record("x", team=team, data={"numbers": [1, 1.0, 0.1, 1e-7, 1e300, -0.0, 2**53, True, None], "text": "×–ü"})
    assert trail.verify() is None


def test_each_team_counts_its_own_events_without_a_gap(team: Team, other_team: Team) -> None:
    for where in (team, other_team, None, team, None, other_team, team):
        record("x", team=where)
    for one, count in ((team, 3), (other_team, 2)):
        numbers = AuditEvent.objects.filter(team=one).in_order().values_list("number", flat=True)
        assert list(numbers) == list(range(1, count + 1))
    assert set(AuditEvent.objects.filter(team=None).values_list("number", flat=True)) == {None}
    assert trail.verify() is None


def test_the_page_and_the_api_show_the_teams_numbers(
    client: Client, team: Team, other_team: Team, engineer: User
) -> None:
    for where in (other_team, other_team, team, other_team, team):
        record("thing.done", team=where)
    client.force_login(engineer)
    page = client.get(reverse("optimization:audit")).context["page"]
    assert [event.number for event in page] == [2, 1]
    rows = client.get("/api/v1/audit/").json()["results"]
    assert [(row["number"], row["sequence"]) for row in rows] == [(2, 5), (1, 3)]


def test_a_changed_number_shows(team: Team, engineer: User) -> None:
    three_events(team, engineer)
    raw("UPDATE optimization_auditevent SET number = 7 WHERE sequence = 3")
    broken = trail.verify()
    assert broken is not None
    assert (broken.sequence, broken.reason) == (3, "its team's number should not be 7")


def test_events_of_a_session_that_is_gone_are_shown_without_a_link(
    client: Client, session: OptimizationSession, engineer: User
) -> None:
    subject = str(session.version)
    session.delete()
    client.force_login(engineer)
    page = client.get(reverse("optimization:audit")).content.decode()
    assert subject in page
    assert f"/sessions/{session.pk}/" not in page
    assert client.get("/api/v1/audit/").status_code == 200


def test_a_changed_event_shows(team: Team, engineer: User) -> None:
    three_events(team, engineer)
    raw("UPDATE optimization_auditevent SET reason = 'never happened' WHERE sequence = 2")
    broken = trail.verify()
    assert broken is not None
    assert (broken.sequence, broken.reason) == (2, "its contents were changed")


def test_a_missing_event_shows(team: Team, engineer: User) -> None:
    three_events(team, engineer)
    raw("DELETE FROM optimization_auditevent WHERE sequence = 2")
    broken = trail.verify()
    assert broken is not None
    assert (broken.sequence, broken.reason) == (3, "event 2 is missing before it")


def test_a_missing_tail_shows(team: Team, engineer: User) -> None:
    three_events(team, engineer)
    raw("DELETE FROM optimization_auditevent WHERE sequence = 3")
    broken = trail.verify()
    assert broken is not None
    assert "should end with event 3" in broken.reason


def test_reordered_events_show(team: Team, engineer: User) -> None:
    three_events(team, engineer)
    for change in ((99, 1), (1, 2), (2, 99)):
        raw("UPDATE optimization_auditevent SET sequence = %s WHERE sequence = %s", *change)
    broken = trail.verify()
    assert broken is not None
    assert broken.sequence == 1


def test_the_command_passes_a_whole_trail_and_names_the_first_bad_event(
    team: Team, engineer: User, capsys: pytest.CaptureFixture[str]
) -> None:
    three_events(team, engineer)
    call_command("verify_audit")
    assert "3 events" in capsys.readouterr().out
    raw("UPDATE optimization_auditevent SET actor = 'somebody' WHERE sequence = 3")
    with pytest.raises(CommandError, match="event 3: its contents were changed") as failed:
        call_command("verify_audit")
    assert failed.value.returncode == 1


def test_a_stranger_sees_no_event_of_the_team(team: Team, engineer: User, stranger: User) -> None:
    three_events(team, engineer)
    assert AuditEvent.objects.visible_to(engineer).count() == 3
    assert not AuditEvent.objects.visible_to(stranger).exists()


@pytest.mark.django_db(transaction=True)
def test_many_writers_at_once_make_one_chain(team: Team) -> None:
    barrier = threading.Barrier(4)

    def write(name: str) -> None:
        barrier.wait()
        for number in range(5):
            record(f"{name}.{number}", actor=name, team=team)
        connections.close_all()

    writers = [threading.Thread(target=write, args=(f"writer-{n}",)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert AuditEvent.objects.count() == 20
    assert AuditHead.objects.get().sequence == 20
    assert trail.verify() is None
