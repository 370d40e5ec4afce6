"""What a verdict is called on the page, in lists, over the API, in the terminal and in the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.criteria import PROFILES, Constraints, Criteria, Objective
from apps.agents.contracts.reports.evaluation import EvaluationReport
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.reports.slowdown import Conversion, OperatorChange, Slowdown
from apps.agents.contracts.state import CandidateStatus, Closing, Status, StepKind
from apps.agents.evaluation.selection import Standing, judge, verdict_of
from apps.agents.session.headline import CELEBRATION, NOTHING_BETTER, headline_of
from apps.optimization.models import Candidate, OptimizationSession, SessionStep
from apps.optimization.outcomes import keep_report
from apps.optimization.rendering import report_html
from apps.optimization.services import report
from lathe import terminal
from tests.agents.inmemory import Truth, evaluation, resnet
from tests.optimization import material
from tests.optimization.arguments import arguments_of

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

FASTEST = PROFILES["fastest"]
SIZE = Criteria(objective=Objective.SIZE, constraints=Constraints())
SLOWDOWN = Slowdown(
    original_ms=1.8,
    candidate_ms=15.2,
    operators=(
        OperatorChange(
            name="Conv → ConvInteger",
            original_count=8,
            candidate_count=8,
            original_ms=1.8,
            candidate_ms=14.7,
            difference_ms=12.9,
        ),
    ),
    conversions=(Conversion(kind="DynamicQuantizeLinear", original_count=0, count=6, ms=0.04),),
    hints=("ConvInteger is slow.",),
)
CASES: dict[str, tuple[Truth, Criteria, str, str, str]] = {
    "good": (
        Truth(4.2, 3.9, -0.06, 0.2),
        FASTEST,
        "ok",
        "better",
        f"{CELEBRATION}: 4.2× faster and 3.9× smaller; top-1 unchanged (+0.06 points)",
    ),
    "allowed": (
        Truth(4.2, 3.9, 0.5, 0.2),
        FASTEST,
        "ok",
        "better",
        "4.2× faster and 3.9× smaller; top-1 fell 0.5 points, within the limit of 1 point",
    ),
    "mixed": (
        Truth(0.27, 4.0, 0.0, 0.0),
        SIZE,
        "warn",
        "mixed",
        "4.0× smaller, and 3.7× slower; top-1 unchanged",
    ),
    "open": (
        Truth(4.2, 3.9, 0.3, 1.5),
        FASTEST,
        "warn",
        "not proven",
        "4.2× faster and 3.9× smaller; top-1 fell 0.3 points, within the limit of 1 point, not proven",
    ),
    "unchanged": (Truth(0.27, 4.0, 0.0, 0.2), FASTEST, "info", "Unchanged", NOTHING_BETTER),
}


def ended(
    session: OptimizationSession, truth: Truth, criteria: Criteria, *, headed: bool = True, **changes: Any
) -> OptimizationSession:
    """The session as it stands once one candidate with this effect is judged; not `headed` as old verdicts are."""
    found: EvaluationReport = evaluation(resnet(), truth, criteria).model_copy(update=changes)
    judged = judge(found, criteria)
    chosen = "c01" if judged.accepted else None
    verdict = verdict_of({"c01": judged}, {"c01": "Dynamic int8"}, criteria, chosen=chosen)
    if headed:
        handed = found if verdict.candidate else None
        verdict = verdict.model_copy(update={"headline": headline_of(verdict, handed, criteria)})
    status = CandidateStatus.REJECTED if judged.standing is Standing.REJECTED else CandidateStatus.SELECTED
    Candidate.objects.create(
        session=session,
        key="c01",
        **material.chain(("onnx-dynamic-int8", "Dynamic int8")),
        predicted=material.PREDICTION.model_dump(mode="json"),
        status=status,
        reason=judged.reason,
    )
    step = SessionStep.objects.create(
        session=session,
        key="c01/evaluate",
        kind=StepKind.EVALUATE,
        status=Status.COMPLETED,
        candidate_key="c01",
        result=found.model_dump(mode="json"),
    )
    keep_report(step)
    row = OptimizationSession.objects.get(pk=session.pk)
    row.criteria_body = criteria.model_dump(mode="json")
    row.status, row.verdict, row.outcome = Status.COMPLETED, verdict.model_dump(mode="json"), verdict.outcome
    row.started_at = row.finished_at = timezone.now()
    row.save()
    return OptimizationSession.objects.get(pk=session.pk)


@pytest.fixture
def page(client: Client, engineer: User) -> Callable[..., str]:
    client.force_login(engineer)

    def read(name: str, *arguments: Any) -> str:
        answer = client.get(reverse(name, args=arguments))
        assert answer.status_code == 200
        return answer.content.decode()

    return read


@pytest.mark.parametrize("headed", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_every_door_tells_the_same_headline(
    session: OptimizationSession, page: Callable[..., str], engineer: User, case: str, headed: bool
) -> None:
    truth, criteria, colour, word, sentence = CASES[case]
    done = ended(session, truth, criteria, headed=headed)

    written, standalone = page("optimization:report", done.pk), report_html(report(done))
    for html in (written, standalone):
        assert f'<p class="notice notice-{colour}"><strong>{sentence}.</strong>' in html
    detail, listed, start = (
        page("optimization:session-detail", done.pk),
        page("optimization:session-list"),
        page("optimization:dashboard"),
    )
    assert f'id="session-headline"><strong>{sentence}.</strong>' in detail
    for html in (detail, listed, start):
        assert f'<span class="badge badge-{colour}">{word}</span>' in html
        assert sentence in html
    told = terminal.report(done, width=200)
    assert f"{sentence}.\n" in told
    client = APIClient()
    client.force_authenticate(engineer)
    body = client.get(f"/api/v1/sessions/{done.pk}/report/").json()["verdict"]["headline"]
    assert body["sentence"] == sentence
    if headed:
        assert client.get(f"/api/v1/sessions/{done.pk}/").json()["verdict"]["headline"] == body
    celebrated = [text for text in (written, standalone, detail, listed, start, told) if CELEBRATION in text]
    assert bool(celebrated) is (case == "good")


def test_the_package_is_told_the_headline(session: OptimizationSession) -> None:
    done = ended(session, *CASES["mixed"][:2])
    closing = Closing.model_validate({"verdict": done.verdict}).model_dump(mode="json")
    step = SessionStep.objects.create(
        session=done, key="package", kind=StepKind.PACKAGE, candidate_key="c01", parameters=closing
    )
    assert arguments_of(step)["headline"] == CASES["mixed"][4]


# --- one sign convention ---------------------------------------------------------------------------------------------


def test_a_loss_is_negative_wherever_it_stands(session: OptimizationSession, page: Callable[..., str]) -> None:
    done = ended(session, Truth(4.2, 3.9, 0.5, 0.2), FASTEST)
    html = page("optimization:report", done.pk)

    assert '<span class="value">−0.5</span><span class="range">−0.7 to −0.3</span>' in html
    assert 'data-label="Limit">−1.00 points</td>' in html
    assert 'data-label="Measured">−0.5 points' in html
    assert 'data-label="Change">−0.50<br>' in html
    assert 'data-label="Metric">−0.50<br>' in page("optimization:session-detail", done.pk)
    assert "  −0.50  " in terminal.report(done)


def test_what_chance_explains_is_called_unchanged_wherever_it_stands(
    session: OptimizationSession, page: Callable[..., str]
) -> None:
    done = ended(session, Truth(4.2, 3.9, -0.06, 0.2), FASTEST)
    html = page("optimization:report", done.pk)

    assert '<span class="value">unchanged</span><span class="range">measured +0.06, −0.14 to 0.26</span>' in html
    assert 'data-label="Change">unchanged (+0.06)<br>' in html
    assert "is unchanged (+0.06 points, 95 % interval −0.14 to 0.26), within the limit of 1 point" in html
    assert "top-1 unchanged (+0.06 points)" in done.candidates.get().reason
    assert "unchanged (+0.06)" in terminal.report(done)
    for text in (html.partition("<main")[2], terminal.report(done)):
        assert "gained" not in text.lower().replace("gains", "")
        assert " lost" not in text.split("Flipped")[0]


def test_what_chance_may_explain_but_is_large_is_called_unchanged_nowhere(
    session: OptimizationSession, page: Callable[..., str]
) -> None:
    criteria = FASTEST.model_copy(update={"constraints": Constraints(max_metric_drop_points=None)})
    done = ended(session, Truth(4.2, 3.9, 6.35, 7.75), criteria)
    html = page("optimization:report", done.pk)

    assert "cannot tell from no change (95 % interval −14.1 to 1.4)" in done.headline.sentence
    assert "−14.1 to 1.4, may be chance" in html
    assert "(may be chance)" in html
    assert "(may be chance)" in terminal.report(done)
    for text in (html, terminal.report(done), page("optimization:session-detail", done.pk)):
        assert "top-1 unchanged" not in text
        assert "unchanged (" not in text
        assert '<span class="value">unchanged</span>' not in text


def test_a_slower_candidate_has_tiles_that_say_so(session: OptimizationSession, page: Callable[..., str]) -> None:
    html = page("optimization:report", ended(session, Truth(0.25, 4.0, 0.0, 0.2), SIZE).pk)
    assert '<span class="label">Slower</span><span class="value">4×</span>' in html
    assert '<span class="label">Smaller</span><span class="value">4×</span>' in html


def test_speed_within_the_noise_is_as_before(session: OptimizationSession, page: Callable[..., str]) -> None:
    found = evaluation(resnet(), Truth(1.03, 4.0, 0.0, 0.2), SIZE)
    latency = found.latency.model_copy(update={"control": Estimate(value=1.0, low=0.93, high=1.07)})
    html = page("optimization:report", ended(session, Truth(1.03, 4.0, 0.0, 0.2), SIZE, latency=latency).pk)
    assert '<span class="label">Speed</span><span class="value">as before</span>' in html
    assert f"{CELEBRATION}: 4.0× smaller, as fast as before" in html


# --- why is it slower ------------------------------------------------------------------------------------------------


def test_a_rejected_candidate_says_why_it_is_slower(
    session: OptimizationSession, page: Callable[..., str], engineer: User
) -> None:
    done = ended(session, Truth(0.2, 4.0, 0.0, 0.2), FASTEST, slowdown=SLOWDOWN)

    for html in (page("optimization:report", done.pk), report_html(report(done))):
        section = html.partition('id="c01-slowdown"')[2].partition("</section>")[0]
        assert "Why is it slower?" in section
        assert "Conv → ConvInteger" in section
        assert "+12.9 ms" in section
        assert "DynamicQuantizeLinear" in section
        assert "ConvInteger is slow." in section
        assert '<meter class="meter-warn" min="0" max="12.900000" value="12.900000"' in section
    assert "c01: Conv → ConvInteger takes 14.7 ms instead of 1.8 ms." in terminal.report(done, width=200)
    client = APIClient()
    client.force_authenticate(engineer)
    (candidate,) = client.get(f"/api/v1/sessions/{done.pk}/report/").json()["candidates"]
    assert candidate["evaluation"]["slowdown"]["operators"][0]["difference_ms"] == 12.9


def test_a_candidate_short_of_its_prediction_is_not_called_slower(
    session: OptimizationSession, page: Callable[..., str]
) -> None:
    html = page("optimization:report", ended(session, Truth(1.3, 4.0, 0.0, 0.2), FASTEST, slowdown=SLOWDOWN).pk)
    assert "Why is it not faster?" in html
    assert "Why is it slower?" not in html


def test_an_evaluation_is_told_what_its_candidate_was_predicted(session: OptimizationSession) -> None:
    done = ended(session, *CASES["good"][:2])
    assert arguments_of(done.steps.get(key="c01/evaluate"))["predicted_speedup"] == material.PREDICTION.speedup
