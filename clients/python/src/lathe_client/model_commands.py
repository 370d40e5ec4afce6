"""`lathe card` and `lathe templates`: what members keep with a model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lathe_client.client import Json
from lathe_client.errors import LatheError
from lathe_client.paths import read_text
from lathe_client.store import Store
from lathe_client.streams import say, say_utf8

SECTIONS = ("intended_use", "training_data", "limitations", "ethical_considerations", "contacts")
"""Of a card. Each is Markdown."""


def add_model_commands(commands: Any) -> None:
    purpose = "print as JSON what members have written for a model's cards, or write sections of it"
    one = commands.add_parser("card", help=purpose, description=purpose)
    one.add_argument("model", help="the model's name")
    for name in SECTIONS:
        option = f"--{name.replace('_', '-')}"
        one.add_argument(option, type=Path, metavar="FILE", help="write this section: a file with Markdown")
    purpose = "list a model's templates, or save a session's settings as one; `optimize --template` starts from it"
    one = commands.add_parser("templates", help=purpose, description=purpose)
    one.add_argument("model", help="the model's name")
    one.add_argument("--save", metavar="SESSION", help="the session of the model whose settings are kept")
    one.add_argument("--name", help="the name of the template that is saved")
    one.add_argument("--default", action="store_true", help="make it the model's default")
    one.add_argument("--replace", action="store_true", help="in the place of a template of the same name")


def card(options: argparse.Namespace, store: Store) -> int:
    """Prints the card as it is afterwards. What somebody else has changed meanwhile is not written over."""
    path = f"models/{store.known_model(options.model)['id']}/card/"
    texts = {name: read_text(file) for name in SECTIONS if (file := getattr(options, name)) is not None}
    row = store.lathe.get(path)
    if texts:
        row = store.lathe.patch(path, {**texts, "expected": row["revision"]})
    say_utf8(json.dumps(row, indent=2, ensure_ascii=False))
    return 0


def templates(options: argparse.Namespace, store: Store) -> int:
    if bool(options.save) != bool(options.name) or ((options.default or options.replace) and not options.save):
        raise LatheError("To save a template, give --save SESSION and --name NAME.")
    model = store.known_model(options.model)
    if not options.save:
        for row in store.templates(model["id"]):
            _say(row)
        return 0
    _refuse_another(store.lathe.get(f"sessions/{options.save}/"), model, store)
    body = {"session": options.save, "name": options.name, "default": options.default, "replace": options.replace}
    _say(store.lathe.post("session-templates/", body))
    return 0


def _refuse_another(session: Json, model: Json, store: Store) -> None:
    """A template belongs to its session's model: it would appear where nobody looks for it."""
    if store.lathe.get(f"versions/{session['version']}/")["model"] != model["id"]:
        raise LatheError(f"Session {session['id']} is not of the model “{model['name']}”.")


def _say(row: Json) -> None:
    say("\t".join([str(row["id"]), str(row["name"]), *(["default"] if row["default"] else [])]))
