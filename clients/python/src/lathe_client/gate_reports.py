"""What the gate writes: a table for people, JUnit XML for pipelines, Markdown for a comment, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from lathe_client.gate import Limit, Result

MARKS = {"holds": "✅", "violated": "❌", "inconclusive": "❓"}
OUTCOME_MARKS = {"proven": "✅", "violated": "❌", "inconclusive": "❓", "error": "⚠️"}
COLUMNS = ("Limit", "Allowed", "Measured", "Interval", "Verdict")
LEAST = ("min_speedup", "min_size_reduction")
"""Limits that the measurement has to reach; it must not exceed the others."""


def table(result: Result) -> str:
    """The verdict as text: one line per limit, then the reason."""
    lines = [f"{result.outcome.upper()}: {result.headline}."]
    if result.compared:
        lines.append(f"{result.compared} compared with {result.baseline} on {result.examples:,} examples")
    if result.limits:
        lines += ["", *_aligned([COLUMNS, *map(_cells, result.limits)]), ""]
    lines.append(result.reason)
    if result.advice and result.advice not in result.reason:
        lines.append(result.advice)
    return "\n".join([*lines, result.url]).rstrip()


def markdown(result: Result) -> str:
    """The same as a comment on a pull request."""
    lines = [f"### {OUTCOME_MARKS[result.outcome]} Lathe: {_escaped(result.headline)}", ""]
    if result.compared:
        compared, baseline = _escaped(result.compared), _escaped(result.baseline)
        lines += [f"**{compared}** compared with **{baseline}** on {result.examples:,} examples", ""]
    if result.limits:
        lines += [f"| {' | '.join(COLUMNS)} |", "|---|--:|--:|--:|---|"]
        for one in result.limits:
            *cells, verdict = map(_escaped, _cells(one))
            lines.append(f"| {' | '.join(cells)} | {MARKS[one.status]} {verdict} |")
        lines.append("")
    lines.append(_escaped(result.reason))
    if result.advice and result.advice not in result.reason:
        lines += ["", _escaped(result.advice)]
    if result.url:
        lines += ["", f"[Report]({result.url})"]
    return "\n".join(lines) + "\n"


def junit(result: Result) -> str:
    """JUnit XML with one test case per limit. An inconclusive limit is a failure of its own type."""
    failed = sum(one.status != "holds" for one in result.limits)
    failed += not result.limits and result.outcome in ("violated", "inconclusive")
    errors = int(result.outcome == "error")
    counted = {"tests": str(len(result.limits) or 1), "failures": str(failed), "errors": str(errors)}
    suites = ET.Element("testsuites", counted)
    suite = ET.SubElement(suites, "testsuite", {"name": "lathe gate", "time": f"{result.seconds:.1f}", **counted})
    for one in result.limits:
        case = ET.SubElement(suite, "testcase", {"classname": "lathe.gate", "name": one.name, "time": "0"})
        if one.status != "holds":
            message = f"{one.sentence} {one.to_decide or ''}".strip()
            ET.SubElement(case, "failure", {"type": one.status, "message": message}).text = message
    if not result.limits:
        case = ET.SubElement(suite, "testcase", {"classname": "lathe.gate", "name": "comparison", "time": "0"})
        kind = "error" if errors else "failure"
        ET.SubElement(case, kind, {"type": result.outcome, "message": result.reason}).text = result.reason
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def as_json(result: Result) -> str:
    return json.dumps(result.as_json(), indent=2) + "\n"


def _cells(one: Limit) -> Sequence[str]:
    sign = "≥" if one.name in LEAST else "≤"
    interval = "exact" if one.low is None or one.high is None else f"{_number(one.low)} to {_number(one.high)}"
    allowed = f"{sign} {_number(one.limit)} {one.unit}".rstrip()
    return one.name, allowed, f"{_number(one.measured)} {one.unit}".rstrip(), interval, one.status


def _number(value: float) -> str:
    if abs(value) >= 1e12:
        return "∞" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _escaped(text: str) -> str:
    """Text that Markdown must not read as a table, a link or HTML."""
    for sign in ("\\", "|", "<", "[", "`", "*"):
        text = text.replace(sign, f"\\{sign}")
    return text
