"""A model card as Markdown (Mitchell et al., *Model Cards for Model Reporting*, 2019): `MODEL_CARD.md` of a package.

Texts of members are written as plain text, apart from their own sections, which are Markdown of theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC

from apps.agents.contracts.phrasing import (
    capitalized,
    difference,
    interval_in_words,
    number,
    number_of_bytes,
    signed,
    with_full_stop,
)
from apps.agents.contracts.plain_markdown import plain
from apps.agents.contracts.reports.card import CardFile, CardMetric, CardTexts, ModelCard
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.packaging.nested_markdown import nested

FILENAME = "MODEL_CARD.md"
UNSIGNED = "The package is not signed: its digests show damage, and not who made it."
RATIO = "×"
BYTES = "bytes"
_HOLDS = {"holds": "holds", "violated": "does not hold", "inconclusive": "is not decided"}
TITLES = {
    "intended_use": "Intended use",
    "training_data": "Training data",
    "limitations": "Limitations",
    "ethical_considerations": "Ethical considerations",
    "contacts": "Contacts",
}
"""Of the sections that members write, by the field of `CardTexts`."""
_GENERAL = (
    "The numbers hold for the data set, the machine and the libraries that are named here. Other data can give another "
    "accuracy, and another machine another speed.",
    "Accuracy was compared on the whole data, so a small part of it may lose more than the whole.",
)


def model_card(card: ModelCard, finding: str | None = None) -> str:
    """The card as Markdown. `finding`: why the package is not proven to run, without a full stop, if it is not."""
    parts = [
        f"# Model card: {plain(card.model.name)}",
        f"**{plain(card.headline)}.** {plain(card.reason)}".rstrip(),
        *_what_it_is(card),
        *sections(card.texts, "intended_use"),
        *_how_it_was_made(card),
        *_what_was_measured(card),
        *_data(card),
        *sections(card.texts, "training_data"),
        "## Limits and warnings",
        _bullets(plain(sentence) for sentence in warnings_of(card, finding)),
        *sections(card.texts, "limitations", "ethical_considerations"),
        *_from_the_team(card),
        *sections(card.texts, "contacts"),
        *_how_to_load(card),
    ]
    return "\n\n".join(parts) + "\n"


def _code(text: str) -> str:
    """`text` as code, also if it contains backticks."""
    one_line = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", one_line)), default=0))
    pad = " " if one_line.startswith("`") or one_line.endswith("`") else ""
    return f"{fence}{pad}{one_line}{pad}{fence}"


def _what_it_is(card: ModelCard) -> list[str]:
    model, made = card.model, card.made_at.astimezone(UTC)
    origin = "the original, unchanged" if card.stands else f"made from {plain(card.original.name)}"
    facts = [
        f"Origin: {origin}, in session {_code(card.session)} of Lathe {card.lathe} on {made:%Y-%m-%d}",
        f"Task: {plain(card.data.task.replace('_', ' '))}",
        f"Format: {plain(model.format)}, runs in {plain(model.runtime)}",
        f"Size: {_size(model)}; the original has {card.parameters:,} parameters",
        *(f"Input {_code(str(one))}" for one in card.inputs),
        *(f"Output {_code(str(one))}" for one in card.outputs),
        f"SHA-256 of the model as Lathe stores it: {_digest(model)}",
    ]
    if not card.stands:
        facts.append(_ancestor("Original", card.original))
    if card.student is not None:
        facts.append(_ancestor("Student, which was trained with the original as its teacher", card.student))
    return ["## What it is", _bullets(facts)]


def _ancestor(role: str, file: CardFile) -> str:
    return f"{role}: {plain(file.name)}, {plain(file.format)}, {_size(file)}, SHA-256 {_digest(file)}"


def _size(file: CardFile) -> str:
    return "not known" if file.size_bytes is None else number_of_bytes(file.size_bytes)


def _digest(file: CardFile) -> str:
    return "not known" if file.sha256 is None else _code(file.sha256)


def _how_it_was_made(card: ModelCard) -> list[str]:
    if card.stands:
        return []
    lines = []
    for place, step in enumerate(card.steps, 1):
        given = ", ".join(
            f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in step.parameters.items()
        )
        libraries = ", ".join(f"{name} {version}" for name, version in sorted(step.libraries.items()))
        text = [f"{place}. **{plain(step.title)}** ({_code(step.technique)})"]
        text += [f"   - Parameters: {_code(given)}"] if given else []
        text += [f"   - Libraries: {plain(libraries)}"] if libraries else []
        lines.append("\n".join(text))
    return ["## How it was made", "\n".join(lines), "`recipe.json` of the package makes it again."]


def _what_was_measured(card: ModelCard) -> list[str]:
    if not card.metrics:
        return ["## What was measured", "Nothing was measured."]
    heads = ["Quantity", "This model"] if card.stands else ["Quantity", "Original", "This model", "Change"]
    parts = ["## What was measured", _table(heads, [_row(one, card) for one in card.metrics])]
    parts.append(
        f"Ranges are intervals at {number(100 * card.confidence)} % confidence. A number without one is exact, or the "
        "median of runs."
    )
    if card.machine is not None:
        parts.append(_where(card))
    if card.limits:
        limits = [f"{plain(with_full_stop(one.sentence))} The limit {_HOLDS[one.status]}." for one in card.limits]
        parts += ["### Limits that were set", _bullets(limits)]
    return parts


def _row(metric: CardMetric, card: ModelCard) -> list[str]:
    delivered = _amount(metric.delivered, metric.unit, card.confidence)
    if card.stands:
        return [plain(metric.label), delivered]
    original = _amount(metric.original, metric.unit, card.confidence) if metric.original else "–"
    return [plain(metric.label), original, delivered, _change(metric, card.confidence)]


def _amount(value: Estimate, unit: str, confidence: float) -> str:
    if unit == BYTES:
        return number_of_bytes(value.value)
    return f"{number(value.value)} {plain(unit)}".rstrip() + _range(value, unit, confidence)


def _change(metric: CardMetric, confidence: float) -> str:
    change, unit = metric.change, metric.change_unit
    if change is None:
        return "–"
    text = f"{number(change.value)}{RATIO}" if unit == RATIO else plain(signed(change.value, unit))
    return text + _range(change, unit, confidence)


def _range(value: Estimate, unit: str, confidence: float) -> str:
    """The interval in brackets; empty for an exact number."""
    if not interval_in_words(value, confidence, unit):
        return ""
    low, high = (difference(end or 0.0, unit) for end in (value.low, value.high))
    return f" ({low} to {high})"


def _where(card: ModelCard) -> str:
    machine, timing = card.machine, card.timing
    assert machine is not None
    on = f"{machine.cpu}, {machine.cores} cores, {number_of_bytes(machine.memory_bytes)} of memory, {machine.system}"
    on += "".join(f", {name}" for name in machine.accelerators)
    text = f"Measured on {plain(on)}, Python {plain(machine.python)}."
    if timing is not None:
        text += f" Timed with batches of {timing.batch_size} and {timing.threads} "
        text += f"thread{'s' * (timing.threads != 1)}, in {timing.runs:,} runs."
    return text


def _data(card: ModelCard) -> list[str]:
    data = card.data
    facts = [f"Data set: {plain(data.name)}, {data.examples:,} examples, SHA-256 {_code(data.sha256)}"]
    if data.measured_on is not None:
        chosen = (
            "which played no part in the choice of this model" if data.judged else "on which candidates were ranked"
        )
        facts.append(f"The metrics are from {data.measured_on:,} of them, {chosen}")
    return ["## Data", _bullets([*facts, *(plain(note) for note in data.notes)])]


def warnings_of(card: ModelCard, finding: str | None) -> list[str]:
    """All that limits the use of the model, in sentences. `finding` as for `model_card`."""
    found = [with_full_stop(one) for one in card.warnings]
    if finding is not None:
        found.append(f"The package was not proven to run before it was delivered: {finding}.")
    if card.signed_by is None:
        found.append(UNSIGNED)
    return [*found, *_GENERAL]


def sections(texts: CardTexts, *names: str, level: int = 2) -> list[str]:
    """The sections `names` of members, or all, each with its title as a heading of `level`. Empty ones are left out."""
    found = {name: getattr(texts, name) for name in names or TITLES}
    return [part for name, text in found.items() for part in _section(TITLES[name], text, level)]


def _section(title: str, text: str, level: int = 2) -> list[str]:
    """Nothing for an empty text."""
    return [f"{'#' * level} {title}", nested(text, level)] if text.strip() else []


def _from_the_team(card: ModelCard) -> list[str]:
    return _section("From the team", card.readme)


def _how_to_load(card: ModelCard) -> list[str]:
    signature = "" if card.signed_by is None else " --key KEY.pem"
    commands = f"pip install -r requirements.txt\npython run.py\nlathe verify PACKAGE.zip{signature}"
    text = (
        "In the folder of the unpacked package, the first command installs what the model needs, and the second runs "
        "it on the package's examples, if it has any. `run.py` and `runtime.py` show how to load the model in your own "
        "program. The last one, of `lathe-client`, checks that the package is the one that Lathe delivered."
    )
    if card.signed_by is not None:
        text += f" It is signed by the key whose public half has the SHA-256 {_code(card.signed_by)}."
    return ["## How to load it", f"```sh\n{commands}\n```", text]


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {capitalized(line)}" for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
