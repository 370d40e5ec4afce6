"""The gate: is a new version of a model proven to hold the limits, compared with the one that stands?"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from lathe_client.client import Json, Lathe, Watch
from lathe_client.errors import LatheError

PROVEN, VIOLATED, INCONCLUSIVE, ERROR = 0, 1, 2, 3
EXIT_CODES = {"proven": PROVEN, "violated": VIOLATED, "inconclusive": INCONCLUSIVE}


@dataclass(frozen=True)
class Limit:
    """One limit and its measurement with the interval. Of a drop, a positive number is a loss."""

    name: str
    """The field of the criteria's constraints, with its subject if it has one: `metric_limits.macro_f1`."""
    limit: float
    measured: float
    low: float | None
    high: float | None
    unit: str
    status: str
    """`holds`, `violated` or `inconclusive`."""
    sentence: str
    to_decide: str | None
    """What would decide it, if it is inconclusive."""


@dataclass(frozen=True)
class Result:
    """How the gate ended. `limits` is empty after an error."""

    outcome: str
    """`proven`, `violated`, `inconclusive` or `error`."""
    headline: str
    reason: str
    advice: str | None = None
    limits: tuple[Limit, ...] = ()
    baseline: str = ""
    """Name and version of the model that stands."""
    compared: str = ""
    dataset: str = ""
    examples: int = 0
    confidence: float = 0.0
    session: str = ""
    url: str = ""
    """The page of the report."""
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        return EXIT_CODES.get(self.outcome, ERROR)

    def as_json(self) -> dict[str, Any]:
        plain = asdict(self)
        return {**plain, "limits": [asdict(one) for one in self.limits], "exit_code": self.exit_code}


def run_gate(
    lathe: Lathe,
    *,
    baseline: int,
    compared: int,
    dataset: int,
    criteria: Json | None = None,
    seed: int | None = None,
    timeout_s: float | None = None,
    watch: Watch | None = None,
) -> Result:
    """Compares the versions with these ids in the portal, and waits for the verdict.

    `criteria` are the fields `criteria`, `criteria_set` and `overrides` of a request. A session that is not finished
    after `timeout_s` is cancelled. Raises `LatheError` if there is no verdict.
    """
    body = {"version": baseline, "compared": compared, "dataset": dataset, "seed": seed, **(criteria or {})}
    started = lathe.post("sessions/compare/", body)
    try:
        session = lathe.ended(started["id"], timeout_s=timeout_s, watch=watch)
    except BaseException:
        with suppress(LatheError):
            lathe.request("POST", f"sessions/{started['id']}/cancel/")
        raise
    if session["status"] != "completed":
        reason = f"{session['error']} [{session['error_code']}]" if session["error"] else "Nobody said why."
        raise LatheError(f"The comparison {session['status']}: {reason} {_page(lathe, session)}")
    return _result(lathe, session, lathe.get(f"sessions/{session['id']}/report/"))


def _result(lathe: Lathe, session: Json, report: Json) -> Result:
    verdict, evaluation = report["verdict"], report["candidates"][0]["evaluation"]
    return Result(
        outcome=str(verdict["outcome"]),
        headline=str(verdict["headline"]["sentence"]),
        reason=str(verdict["reason"]),
        advice=verdict["advice"],
        limits=tuple(_limit(one) for one in evaluation["constraints"]),
        baseline=str(report["model"]),
        compared=str(report["compared"]),
        dataset=str(report["dataset"]),
        examples=int(evaluation["examples"]),
        confidence=float(evaluation["confidence"]),
        session=str(session["id"]),
        url=f"{_page(lathe, session)}report/",
        seconds=float(session["elapsed_s"]),
    )


def _limit(verdict: Json) -> Limit:
    measured, subject = verdict["measured"], verdict["subject"]
    return Limit(
        name=f"{verdict['constraint']}.{subject}" if subject else str(verdict["constraint"]),
        limit=float(verdict["limit"]),
        measured=float(measured["value"]),
        low=measured["low"],
        high=measured["high"],
        unit=str(verdict["unit"]),
        status=str(verdict["status"]),
        sentence=str(verdict["sentence"]),
        to_decide=verdict["to_decide"],
    )


def _page(lathe: Lathe, session: Json) -> str:
    return f"{lathe.url}/sessions/{session['id']}/"
