"""`lathe comment`: what members say about a session."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from lathe_client.errors import LatheError
from lathe_client.store import Store
from lathe_client.streams import say, say_utf8


def add_comment(commands: Any) -> None:
    told = "print the comments on a session as JSON, or write one"
    one = commands.add_parser("comment", help=told, description=told)
    one.add_argument("session")
    one.add_argument("text", nargs="?", help="Markdown, in which @name mentions a member; “-” reads it from the input")


def comment(options: argparse.Namespace, store: Store) -> int:
    """Prints the comments, oldest first, or the id of the one that was written."""
    if options.text is None:
        session = store.lathe.get(f"sessions/{options.session}/")
        rows = list(store.lathe.rows("comments/", session=session["id"]))
        say_utf8(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    text = sys.stdin.read() if options.text == "-" else options.text
    if not text.strip():
        raise LatheError("A comment needs a text.")
    say(str(store.lathe.post("comments/", {"session": options.session, "text": text})["id"]))
    return 0
