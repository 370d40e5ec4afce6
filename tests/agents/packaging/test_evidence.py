"""The model card and the bill of materials: what they say, that the bill is valid, and that texts stay texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from apps.agents.contracts.reports.card import CardTexts, ModelCard
from apps.agents.contracts.reports.measurements import Estimate
from apps.agents.contracts.state import Outcome
from apps.agents.files.digest import digest_of
from apps.agents.packaging.bom import evidence_bom
from apps.agents.packaging.card import TITLES, UNSIGNED, model_card, warnings_of
from tests.agents.cards import ACCURACY, card

NEEDED = ["onnxruntime==1.32.0", "numpy==2.4.6"]
SIGNED_BY = "d" * 64


def stands(**changes: Any) -> ModelCard:
    """The card of a session whose original stands."""
    made = card()
    alone = ACCURACY.model_copy(update={"original": None, "delivered": ACCURACY.original, "change": None})
    return card(**{"outcome": Outcome.UNCHANGED, "model": made.original, "steps": (), "metrics": (alone,), **changes})


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / name.replace("/", "-") for name in ("model/net.onnx", "run.py", "ü.txt")}
    for name, path in paths.items():
        path.write_text(name)
    return paths


def bill(made: ModelCard, files: dict[str, Path]) -> dict[str, Any]:
    text = evidence_bom(made, files, NEEDED, warnings_of(made, None))
    assert text == evidence_bom(made, files, NEEDED, warnings_of(made, None)), "the same contents give the same text"
    written: dict[str, Any] = json.loads(text)
    return written


# --- the bill --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [card(), stands(), stands(metrics=(), machine=None, warnings=())])
def test_the_bill_is_valid_cyclonedx(made: ModelCard, files: dict[str, Path]) -> None:
    text = json.dumps(bill(made, files))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    wrong = text.replace("quantitativeAnalysis", "quantitativeAnalyses")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(wrong) is not None, "the schema knows model cards"


def test_the_bill_has_the_metrics_with_their_intervals(files: dict[str, Path]) -> None:
    analysis = bill(card(), files)["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]
    metrics = {(one["type"], one["slice"]): one for one in analysis["performanceMetrics"]}
    interval = {"lowerBound": "-0.1", "upperBound": "0.18"}
    assert metrics["accuracy [points]", "change"]["value"] == "0.04"
    assert metrics["accuracy [points]", "change"]["confidenceInterval"] == interval
    assert metrics["accuracy [%]", "original"]["confidenceInterval"]["lowerBound"] == "90.8"
    assert "confidenceInterval" not in metrics["size [bytes]", "delivered"]


def test_the_bill_has_every_file_the_libraries_and_the_ancestor(files: dict[str, Path]) -> None:
    written = bill(card(), files)
    parts = {(one["type"], one["name"]): one for one in written["components"]}
    for name, path in files.items():
        assert parts["file", name]["hashes"] == [{"alg": "SHA-256", "content": digest_of(path)}]
    assert parts["library", "onnxruntime"]["purl"] == "pkg:pypi/onnxruntime@1.32.0"
    assert parts["library", "onnxruntime"]["scope"] == "required"
    assert parts["library", "onnx"]["scope"] == "excluded", "it made the model, which runs without it"
    (ancestor,) = written["metadata"]["component"]["pedigree"]["ancestors"]
    assert ancestor["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert parts["data", "Fashion test"]["hashes"][0]["content"] == "c" * 64
    assert "ancestors" not in bill(stands(), files)["metadata"]["component"]["pedigree"]


# --- the card --------------------------------------------------------------------------------------------------------


def test_the_card_says_what_was_measured_and_how_the_model_was_made() -> None:
    text = model_card(card())
    assert "| Accuracy | 91.4 % (90.8 to 91.9) | 91.5 % (90.9 to 92) | +0.04 points (−0.1 to 0.18) |" in text
    assert "| Size of the model | 11.2 MB | 2.88 MB | 3.88× |" in text
    assert "1. **Static int8** (`onnx.static`)" in text
    assert 'Parameters: `weights = "int8"`' in text
    assert "Measured on A processor, 2 cores, 8 GB of memory, Linux, Python 3.11.7." in text
    assert "The metrics are from 6,000 of them, which played no part in the choice of this model" in text
    assert "- Accuracy rose 0.04 points, within 1 point. The limit holds." in text
    assert "- The class bag loses 2 points." in text
    assert "pip install -r requirements.txt" in text
    assert "From the team" not in text


def test_the_card_of_an_original_that_stands_has_no_change() -> None:
    text = model_card(stands())
    assert "the original, unchanged" in text
    assert "| Quantity | This model |" in text
    assert "How it was made" not in text


def test_the_card_says_whether_the_package_is_signed_and_proven() -> None:
    assert UNSIGNED in warnings_of(card(), None)
    text = model_card(card(signed_by=SIGNED_BY), "its script failed: no such operator")
    assert "not signed" not in text
    assert "lathe verify PACKAGE.zip --key KEY.pem" in text
    assert SIGNED_BY in text
    assert "was not proven to run before it was delivered: its script failed: no such operator." in text


def test_the_team_s_section_keeps_its_markdown_under_the_card_s_headings() -> None:
    text = model_card(card(readme="# Use\n\n**Not** for faces.\n\n## More\n#hashtag"))
    assert "## From the team\n\n### Use\n\n**Not** for faces.\n\n#### More\n#hashtag\n" in text


TEXTS = CardTexts(
    intended_use="Photos.\n\nData\n---",
    training_data="```\nFashion",
    limitations="Fails at night.",
    ethical_considerations="Not for faces.",
    contacts="olga@example.org",
)


def test_the_sections_of_members_stand_among_what_was_measured() -> None:
    text = model_card(card(texts=TEXTS, readme="Hello."))
    titles = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        *("What it is", "Intended use", "How it was made", "What was measured", "Data", "Training data"),
        *("Limits and warnings", "Limitations", "Ethical considerations", "From the team", "Contacts"),
        "How to load it",
    ]
    assert "## Training data\n\n```\nFashion\n```\n\n## Limits and warnings" in text, "what a member opens is closed"
    empty = model_card(card())
    assert not any(f"## {title}" in empty for title in TITLES.values())


def test_the_bill_has_the_sections_of_members(files: dict[str, Path]) -> None:
    made = card(texts=TEXTS)
    written = evidence_bom(made, files, ["onnxruntime==1.32.0"], warnings_of(made, None))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None
    about = json.loads(written)["metadata"]["component"]["modelCard"]
    assert about["considerations"]["useCases"] == [TEXTS.intended_use]
    assert "Fails at night." in about["considerations"]["technicalLimitations"]
    assert about["considerations"]["ethicalConsiderations"] == [{"name": "Not for faces."}]
    assert {"name": "lathe:contacts", "value": "olga@example.org"} in about["properties"]


@pytest.mark.parametrize("name", ["a | b", "<b>x</b>", "[x](http://x)", "# x", "`x`", "*x*", "a\nb"])
def test_names_are_texts_and_no_markup(name: str) -> None:
    made = card(model=card().model.model_copy(update={"name": name}))
    line = model_card(made).splitlines()[0]
    assert line.startswith("# Model card: ")
    shown = line.removeprefix("# Model card: ")
    unescaped = shown.replace("\\", "")
    assert unescaped == name.replace("\n", " ")
    for special in "|<>[]#`*":
        assert f" {special}" not in f" {shown}".replace(f"\\{special}", "")


def test_an_exact_change_has_no_range() -> None:
    metric = ACCURACY.model_copy(update={"change": Estimate(value=0.0)})
    assert "| 0 points |" in model_card(card(metrics=(metric,)))
