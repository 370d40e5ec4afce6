from __future__ import annotations

from django.utils import translation

from apps.agents.contracts.formats import FORMATS, uploads_in_words
from apps.models import vocabulary


def test_every_word_of_a_built_in_format_is_marked_for_translation() -> None:
    assert {spec.upload for spec in FORMATS.values()} <= set(vocabulary.WORDS)
    assert {spec.origin for spec in FORMATS.values()} <= set(vocabulary.WORDS)


def test_in_english_the_words_are_those_of_the_agents() -> None:
    assert vocabulary.uploads() == uploads_in_words()


def test_in_german_formats_are_listed_with_german_words() -> None:
    with translation.override("de"):
        assert vocabulary.frameworks().endswith(" oder TensorFlow Lite")
        assert vocabulary.uploads().startswith("ein ONNX-Modell (.onnx, ")
