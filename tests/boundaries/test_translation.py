"""Every text of a page can be translated, and the German catalogue is whole."""

from __future__ import annotations

import gettext
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "locale" / "de" / "LC_MESSAGES" / "django.po"
FOR_CONTRIBUTORS = {"guide/styleguide.html"}
"""Pages for those who work on the portal, which are in English like its code."""
SAME_EVERYWHERE = {
    *("Lathe", "README", "SHA-256", "UTC", "ID", "CI", "API", "URL"),
    *("CSV", "JSON", "ONNX", "CPU", "GPU", "CUDA", "int8", "MACs", "FLOPs", "batch", "opset", "msg_", "nats"),
    *("SQNR", "R²", "dB", "Python"),
    *("ms", "min", "GB", "MB", "kB", "MiB", "pt", "px", "p50", "p95"),
}
"""Names, units and codes."""
PARTS = re.compile(
    r"({%.*?%}|{{.*?}}|{#.*?#}|<!--.*?-->|<[a-zA-Z/!](?:{%.*?%}|{{.*?}}|\"(?:{%.*?%}|{{.*?}}|[^\"])*\"|'[^']*'|[^<>\"'])*>)",
    re.S,
)
TRANSLATED = re.compile(
    r"{% *blocktrans(?:late)?\b.*?{% *endblocktrans(?:late)? *%}|{% *comment.*?endcomment *%}", re.S
)
CODE = re.compile(r"<(script|style|pre|code|kbd)\b[^>]*>.*?</\1>", re.S)
READ_OUT = re.compile(r"(?:title|aria-label|placeholder|alt|data-confirm|data-label)=\"((?:{%.*?%}|{{.*?}}|[^\"])*)\"")
WORD = re.compile(r"[A-Za-zÄÖÜäöü][\w-]+")


def templates() -> list[Path]:
    return sorted((ROOT / "templates").rglob("*.html")) + sorted((ROOT / "templates").rglob("*.txt"))


def words_outside(text: str) -> Iterator[str]:
    """The words of a template that stand in no tag of translation."""
    rest = CODE.sub("", TRANSLATED.sub("", text))
    for part in PARTS.split(rest):
        if part.startswith("<"):
            for value in READ_OUT.findall(part):
                yield from WORD.findall(re.sub(r"{%.*?%}|{{.*?}}", "", value))
        elif not part.startswith(("{%", "{{", "{#")):
            yield from WORD.findall(re.sub(r"&\w+;", "", part))


@pytest.mark.parametrize("path", templates(), ids=lambda path: path.relative_to(ROOT / "templates").as_posix())
def test_a_template_has_no_text_outside_of_translation(path: Path) -> None:
    if path.relative_to(ROOT / "templates").as_posix() in FOR_CONTRIBUTORS:
        return
    text = path.read_text(encoding="utf-8")
    assert not set(words_outside(text)) - SAME_EVERYWHERE
    assert "|pluralize" not in text, "other languages make their plurals otherwise: use {% blocktranslate count … %}"
    assert not re.search(r"\|default(?:_if_none)?:[\"'][A-Za-z]{2}", text), "write |default:_(“…”)"


def test_the_search_for_text_finds_it() -> None:
    found = '<p title="One">Two {{ three }} {% translate "four" %} <code>five</code></p>{% if six %}seven{% endif %}'
    assert list(words_outside(found)) == ["One", "Two", "seven"]


def entries() -> list[dict[str, str]]:
    """The catalogue's messages: `msgid`, `msgstr` and, where they have plurals, `msgid_plural` and the others."""
    blocks = CATALOGUE.read_text(encoding="utf-8").split("\n\n")[1:]
    return [dict(_fields(block)) | {"flags": "".join(re.findall(r"^#, (.*)$", block, re.M))} for block in blocks]


def _fields(block: str) -> Iterator[tuple[str, str]]:
    for name, lines in re.findall(r'^(msg[\w\[\]]+) ((?:"(?:.*)"\n?)+)', block, re.M):
        yield name, "".join(re.findall(r'^"(.*)"$', lines, re.M))


def _places(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)s|{[\w!:,.]*}", text))


def test_the_catalogue_is_whole() -> None:
    found = entries()
    assert len(found) > 500
    for entry in found:
        told = [value for name, value in entry.items() if name.startswith("msgstr")]
        assert all(told), f"not translated: {entry['msgid']}"
        assert "fuzzy" not in entry["flags"], f"guessed, not translated: {entry['msgid']}"
        originals = [_places(entry[name]) for name in ("msgid", "msgid_plural") if name in entry]
        assert all(_places(value) in originals for value in told), f"other placeholders: {entry['msgid']}"


def test_the_compiled_catalogue_is_that_of_the_texts() -> None:
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for entry in entries():
        once, context = _plain(entry["msgid"]), _plain(entry.get("msgctxt", ""))
        key = f"{context}\x04{once}" if context else once
        told = compiled.ngettext(key, key, 1) if "msgid_plural" in entry else compiled.gettext(key)
        assert told == _plain(entry.get("msgstr", entry.get("msgstr[0]", ""))), "run manage.py compilemessages"


def _plain(text: str) -> str:
    return text.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")


def test_the_catalogue_has_all_texts_of_the_source(tmp_path: Path) -> None:
    """`makemessages` on a copy finds nothing that the catalogue lacks."""
    if shutil.which("xgettext") is None:
        pytest.skip("no gettext on this machine")
    for name in ("apps", "platform", "templates"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "locale").mkdir()
    command = ["-m", "django", "makemessages", "-l", "de", "--no-location", "--symlinks", "-v", "0"]
    # With settings, the command would write into the catalogue that they name.
    without = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    subprocess.run([sys.executable, *command], cwd=tmp_path, env=without, check=True, timeout=120)
    made = (tmp_path / "locale" / "de" / "LC_MESSAGES" / "django.po").read_text(encoding="utf-8")
    wanted = {msgid for block in made.split("\n\n")[1:] if (msgid := dict(_fields(block)).get("msgid"))}
    assert wanted == {entry["msgid"] for entry in entries()}, "run manage.py makemessages, then translate what is new"
