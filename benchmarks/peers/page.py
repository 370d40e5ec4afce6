"""docs/peers.md: what was found, on what, and how it was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.measurements import UNKNOWN, Estimate
from benchmarks.peers.catalogue import Entry
from benchmarks.peers.environments import PINNED
from benchmarks.peers.form import FORMS
from benchmarks.peers.results import Found, Row, best_single, hindsight, mean_of
from benchmarks.peers.subjects import Subject

MEANS, MODELS = "images/peers-means.svg", "images/peers-models.svg"
MEGABYTE = 1e6
NONE = "–"

HEAD = """# Beside its peers

`make bench` gives the same models and the same examples to Lathe and to other tools, measures what they make in one
process, and writes this page."""

HOW = """## How it is measured

Before anyone sees a data set, its test part by Lathe's own split is held back. The peers calibrate on up to 300 of
the other examples. Lathe gets all of these others as the data set of a session of a real portal, with the profile
“fastest” and the budget of the form, and has to calibrate, choose and prove with them. So nobody has tuned on the
examples of these tables.

Each peer is asked as its documentation shows it, in a process of its own; NNCF and Olive have an environment of their
own. Wall and CPU seconds are those of the whole process and its children. Peers only make a file. Lathe's seconds are
those of the whole session: it also analyses the model, tries several candidates, measures each of them and packs the
winner.

Then one process opens all files of a model, each in the runtime of its format: the original of Keras runs in
TensorFlow. Each answers the held-back examples beside the original. All are timed in interleaved rounds on one
thread, one example at a time, with the original a second time as a control. The speed-up is the original's CPU time
over the other's, with the interval over rounds. The wall-clock ratio beside it is from rounds in which nothing was
disturbed, and missing if there were too few. All times are compared within one process; from process to process such
ratios move by several per cent.

What is lost is in points of the metric; of perplexity, in its own unit. Brackets behind a number are intervals of 95
%. A speed-up counts if the measured loss is at most one point, or two per cent of a metric without a fixed scale
(perplexity). A failure, a larger loss or a slow-down counts as 1, because whoever gets that keeps the original; so
does a model that a tool does not take. “In hindsight” takes the best peer of each model, which nobody knows
beforehand."""


def page(found: Sequence[Found], entries: Sequence[Entry], subjects: Sequence[Subject]) -> str:
    """All of it, with `found` in the order of `subjects`; what is missing in `found` is told as not run."""
    ran = [one for one in found if one.rows]
    blocks = [HEAD, *_conditions(ran), *_summary(ran, entries, subjects), HOW, "## Model by model"]
    known = {one.subject: one for one in found}
    for subject in subjects:
        blocks += _of_model(subject, known.get(subject.key), entries)
    return "\n\n".join(blocks) + "\n"


# --- over all models -------------------------------------------------------------------------------------------------


def _conditions(ran: Sequence[Found]) -> Iterator[str]:
    if not ran:
        return
    machines = "; ".join(dict.fromkeys(one.machine for one in ran))
    days = ", ".join(sorted({one.day for one in ran}))
    loads = [load for one in ran for load in one.load]
    releases = ", ".join(f"{name} {release}" for name, release in sorted(_releases(ran).items()))
    forms = "; ".join(f"*{name}*: {FORMS[name].described}" for name in sorted({one.form for one in ran}))
    busy = ""
    if max(loads) > 1.5:
        busy = " **Other programs ran at the same time**: trust ratios, not seconds, and no ratio to its last digits."
    yield "\n".join(
        [
            f"- measured on {days} in {sum(one.took_s for one in ran) / 60:.0f} minutes; form {forms}",
            f"- {machines}",
            f"- load averages of {min(loads):.1f} to {max(loads):.1f} before and after each model.{busy}",
            f"- {releases}",
            f"- environments of their own: {'; '.join(', '.join(pins) for pins in PINNED.values())}",
        ]
    )


def _releases(ran: Sequence[Found]) -> Mapping[str, str]:
    return {name: release for one in ran for row in one.rows for name, release in row.releases.items()}


def _summary(ran: Sequence[Found], entries: Sequence[Entry], subjects: Sequence[Subject]) -> Iterator[str]:
    if not ran:
        return
    tried = [entry for entry in entries if any(one.row(entry.key) for one in ran)]
    peers = [entry.key for entry in tried if not entry.is_lathe]
    labels = {subject.key: subject.label for subject in subjects}
    yield "## Speed-ups at a loss of at most one point"
    onnx = {subject.key for subject in subjects if subject.format is Format.ONNX}
    alone = [one for one in ran if one.subject in onnx]
    if peers:
        yield _sentence(f"over all {len(ran)} models", ran, tried, peers)
    if peers and 1 < len(alone) < len(ran):
        yield _sentence(f"over the {len(alone)} ONNX models alone, which most peers take", alone, tried, peers)
    yield f"![Bars: the geometric mean of each tool]({MEANS})"
    yield _table(
        ("", *(labels[one.subject] for one in ran), "geometric mean"),
        [
            (entry.label, *(_cell(one, entry.key) for one in ran), f"{mean_of(entry.key, ran):.2f}")
            for entry in sorted(tried, key=lambda entry: -mean_of(entry.key, ran))
        ],
    )
    yield f"![Dots: the speed-up of everything that was made, model by model]({MODELS})"


def _sentence(over: str, ran: Sequence[Found], tried: Sequence[Entry], peers: Sequence[str]) -> str:
    best = best_single(peers, ran)
    label = next(entry.label for entry in tried if entry.key == best)
    return (
        f"Geometric means {over}: **Lathe {mean_of('lathe', ran):.2f}**, the best peer of each model in hindsight "
        f"{hindsight(peers, ran):.2f}, the best single one ({label}) {mean_of(best, ran):.2f}."
    )


def _cell(found: Found, entry: str) -> str:
    """The speed-up that counts, and in brackets what it would be if it held the limit."""
    row = found.row(entry)
    if row is None:
        return NONE
    if row.measured is None:
        return "nothing"
    speedup = row.measured.cpu_speedup.value
    return f"{speedup:.2f}" if row.measured.holds else f"({speedup:.2f})"


# --- one model -------------------------------------------------------------------------------------------------------


def _of_model(subject: Subject, found: Found | None, entries: Sequence[Entry]) -> Iterator[str]:
    yield f"### {subject.label}"
    if found is None or not found.rows:
        left_out = f"`make bench ONLY={subject.key}` measures it"
        yield f"Not run: {found.not_run if found and found.not_run else left_out}."
        return
    yield _about(found)
    labels = {entry.key: entry.label for entry in entries}
    head = ("", "speed-up, CPU time", "wall clock", "MB", "metric", "lost", "made in wall s", "CPU s", "")
    yield _table(head, [_line(labels.get(row.entry, row.entry), row) for row in found.rows])


def _about(found: Found) -> str:
    first = next((row.measured.metric for row in found.rows if row.measured), None)
    metric = f"; {first.label} of the original {first.original.value:.2f}{_unit(first.unit)}" if first else ""
    control = f"; the original beside itself {_ratio(found.control)}" if found.control else ""
    return (
        f"{found.size_bytes / MEGABYTE:.2f} MB, {found.given:,} examples given, {found.examples:,} held back"
        f"{metric}{control}."
    )


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""


def _line(label: str, row: Row) -> tuple[str, ...]:
    costs = (f"{row.wall_s:.0f}", f"{row.cpu_s:.0f}")
    if row.measured is None:
        return (label, *(NONE,) * 5, *(costs if row.wall_s else (NONE, NONE)), f"nothing made: {row.failure}")
    found = row.measured
    drop = f"{_signed(found.metric.drop)}{'' if found.holds else ' **over the limit**'}"
    return (
        label,
        _ratio(found.cpu_speedup),
        _ratio(found.wall_speedup),
        f"{found.size_bytes / MEGABYTE:.2f}",
        f"{found.metric.candidate.value:.2f}",
        drop,
        *costs,
        row.what,
    )


def _ratio(estimate: Estimate) -> str:
    if estimate.high is not None and estimate.high >= UNKNOWN:
        return NONE
    within = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f}{within}"


def _signed(estimate: Estimate) -> str:
    within = "" if estimate.low is None else f" [{estimate.low:+.2f}, {estimate.high:+.2f}]"
    return f"{estimate.value:+.2f}{within}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
