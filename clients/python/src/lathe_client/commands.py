"""The command `lathe`: one function per subcommand, each with the arguments that argparse has read."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, NoReturn

from lathe_client import credentials, streams
from lathe_client.archive import Refused
from lathe_client.client import Json, Lathe
from lathe_client.comment_command import add_comment, comment
from lathe_client.errors import LatheError, sentence_about
from lathe_client.gate import ERROR
from lathe_client.gate_command import add_gate, gate
from lathe_client.model_commands import add_model_commands, card, templates
from lathe_client.paths import existing, place
from lathe_client.progress import Progress
from lathe_client.store import Store, read_json
from lathe_client.streams import complain, say
from lathe_client.verify import verify

INTERRUPTED = 130
CHANGED = 1
"""Exit code of `verify` for a package that is not as it was delivered."""
OUTCOMES = {"improved": 0, "unchanged": 1, "not_measured": 2, "inconclusive": 2}
"""Exit codes of `optimize --watch`; 3 is an error, as everywhere."""
WAITS = 4
"""The exit code when the alias is protected, and a second member has to approve the move."""
NOT_MOVED = 1
"""The exit code of `promote --watch` when the move was rejected or withdrawn, or is out of date."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A wrong command line is an error like any other: 2 would mean “inconclusive”."""
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command and exits with its code.

    Whatever goes wrong is an error. Left to Python, it would end with 1: “violated”, “changed”, “unchanged”.
    """
    streams.prepare()
    try:
        options = parser().parse_args(arguments)
        code = COMMANDS[options.command](options)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        complain(sentence_about(error))
        code = ERROR
    finally:
        streams.finish()
    sys.exit(code)


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="lathe", description="Makes neural networks smaller and faster, and proves that they still work."
    )
    made.add_argument("--url", help="the portal; else LATHE_URL, or that of `lathe login`")
    made.add_argument("--team", default=os.environ.get("LATHE_TEAM"), help="a team's slug, if you are in several")
    made.add_argument("--quiet", action="store_true", help="no progress on the error stream")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _add_files(commands)
    _add_sessions(commands)
    _add_verify(commands)
    add_gate(commands)
    add_model_commands(commands)
    add_comment(commands)
    return made


def _add_files(commands: argparse._SubParsersAction[Parser]) -> None:
    one = commands.add_parser("login", help="keep the address of a portal and an API token")
    one.add_argument("portal", metavar="URL")
    one.add_argument("--token", help="“-” reads it from the input; without it you are asked")
    one = commands.add_parser("upload", help="add a version of a model; an interrupted upload continues")
    one.add_argument("file", type=Path)
    one.add_argument("--model", help="the model's name (default: the file's name without suffix)")
    one.add_argument("--description", default="")
    one.add_argument("--alias", help="move this alias to the version")
    one = commands.add_parser("dataset", help="add a data set")
    one.add_argument("file", type=Path)
    one.add_argument("--name", help="default: the file's name without suffix")
    add_reading(one)


def add_reading(one: argparse.ArgumentParser) -> None:
    """The options that say how a file of data is read."""
    one.add_argument("--kind", help="npz, images, csv, …")
    one.add_argument("--task", help="classification, regression, …")
    one.add_argument("--label", help="the array or column with the labels")
    one.add_argument("--spec", help="the whole spec as JSON, or a file with it")


def _add_sessions(commands: argparse._SubParsersAction[Parser]) -> None:
    one = commands.add_parser("optimize", help="start a session")
    one.add_argument("version", help="a file, an id, model@alias or model#number")
    one.add_argument("--model", help="the model of a file, of @alias or of #number")
    given = one.add_mutually_exclusive_group(required=True)
    given.add_argument("--data", help="a data set's name or id")
    given.add_argument("--template", help="the name of a template of the model, which has data set and criteria")
    one.add_argument("--criteria", help="a JSON file, or the name or id of saved criteria (default: your default)")
    one.add_argument("--seed", type=int)
    one.add_argument("--watch", action="store_true", help="wait for the verdict")
    one = commands.add_parser("report", help="print a session's report as JSON, or download it as a PDF")
    one.add_argument("session")
    one.add_argument("--format", choices=("json", "pdf"), default="json", help="a PDF goes into a file (default: json)")
    one.add_argument("--output", type=Path, help="a file or a folder")
    one = commands.add_parser("download", help="download a session's package")
    one.add_argument("session")
    one.add_argument("--output", type=Path, help="a file or a folder")
    one = commands.add_parser("promote", help="make a session's result a version, and move an alias to it")
    one.add_argument("session")
    one.add_argument("--alias", default="production")
    one.add_argument("--watch", action="store_true", help="if the alias is protected, wait for the decision")


def _add_verify(commands: argparse._SubParsersAction[Parser]) -> None:
    purpose = "check that a package is as Lathe delivered it: exit 0 unchanged, 1 changed, 3 error; needs no portal"
    one = commands.add_parser("verify", help=purpose, description=purpose)
    one.add_argument("package", type=Path)
    one.add_argument("--key", type=Path, help="the public key that must have signed it, as PEM")


# --- commands --------------------------------------------------------------------------------------------------------


def portal(options: argparse.Namespace) -> Lathe:
    return Lathe(*credentials.known(options.url))


def login(options: argparse.Namespace) -> int:
    """Asks the portal whose token it is before anything is written."""
    given = options.token or _asked_for("API token (create one under “API tokens” in the portal): ")
    token = (sys.stdin.readline() if given == "-" else given).strip()
    with Lathe(options.portal, token) as lathe:
        email = lathe.get("me/")["email"]
        kept = credentials.keep(lathe.url, token)
    say(f"Logged in as {email}. The token is in {kept}.")
    return 0


def _asked_for(prompt: str) -> str:
    try:
        return getpass.getpass(prompt)
    except EOFError as error:
        raise LatheError("There is nobody to ask for the token. Give it with --token -, from the input.") from error


def upload(options: argparse.Namespace) -> int:
    progress = Progress(quiet=options.quiet)
    with portal(options) as lathe:
        store = Store(lathe, team=options.team, tell=progress.bytes)
        model = store.model(options.model or options.file.stem)
        version = store.add_version(model, existing(options.file), options.description)
        progress.end()
        body = {"model": model["id"], "name": options.alias, "version": version["id"]}
        moved = lathe.post("aliases/", body) if options.alias else {}
    say(f"{version['id']}\t{model['name']}#{version['number']}")
    return tell_waiting(lathe, moved) if waits(moved) else 0


def dataset(options: argparse.Namespace) -> int:
    progress = Progress(quiet=options.quiet)
    with portal(options) as lathe:
        store = Store(lathe, team=options.team, tell=progress.bytes)
        made = store.dataset(str(existing(options.file)), name=options.name, spec=reading(options))
        progress.end()
    say(f"{made['id']}\t{made['name']}")
    return 0


def optimize(options: argparse.Namespace) -> int:
    progress = Progress(quiet=options.quiet)
    if options.template is not None and (options.criteria, options.seed) != (None, None):
        raise LatheError("A template has criteria of its own and takes no seed: leave out --criteria and --seed.")
    with portal(options) as lathe:
        store = Store(lathe, team=options.team, tell=progress.bytes)
        version = store.version(options.version, options.model)
        session = lathe.post(*_asked(options, store, version))
        say(session["id"])
        if not options.watch:
            return 0
        session = lathe.ended(session["id"], watch=progress.session)
        progress.end()
    if session["status"] != "completed":
        raise LatheError(f"The session {session['status']}. {session['error']}".rstrip())
    say(f"{session['outcome']}: {session['verdict']['headline']['sentence']}.\n{session['verdict']['reason']}")
    return OUTCOMES.get(session["outcome"], ERROR)


def _asked(options: argparse.Namespace, store: Store, version: Json) -> tuple[str, Json]:
    """The path and the body of the request that starts the session."""
    if options.template is None:
        body: Json = {"version": version["id"], "dataset": store.dataset(options.data)["id"], "seed": options.seed}
        return "sessions/", {**body, **store.criteria(options.criteria)}
    template = store.template(version["model"], options.template)
    return f"session-templates/{template['id']}/start/", {"version": version["id"]}


def report(options: argparse.Namespace) -> int:
    if options.format == "pdf":
        return _fetch(options, "report/pdf/")
    target = options.output and place(options.output)
    with portal(options) as lathe:
        text = lathe.request("GET", f"sessions/{options.session}/report/").text
    if target is None:
        streams.say_utf8(text)
        return 0
    target = target / f"report-{options.session}.json" if target.is_dir() else target
    target.write_text(text, encoding="utf-8")
    return 0


def download(options: argparse.Namespace) -> int:
    return _fetch(options, "package/")


def _fetch(options: argparse.Namespace, what: str) -> int:
    """Downloads a file of the session, and says where it lies."""
    progress = Progress(quiet=options.quiet)
    target = place(options.output or Path())
    with portal(options) as lathe:
        say(str(lathe.download(f"sessions/{options.session}/{what}", target, progress.bytes)))
        progress.end()
    return 0


def promote(options: argparse.Namespace) -> int:
    with portal(options) as lathe:
        made = lathe.post(f"sessions/{options.session}/promote/", {"alias": options.alias})
        if waits(made):
            code = tell_waiting(lathe, made)
            return decided(lathe, made) if options.watch else code
    say(f"{made['alias']} points at version {made['number']} ({made['version']}).")
    return 0


def check_package(options: argparse.Namespace) -> int:
    try:
        found = verify(existing(options.package), options.key and existing(options.key))
    except Refused as error:
        complain(f"{options.package} is not as it was delivered. {error}")
        return CHANGED
    say(f"{options.package} is unchanged: {found.files} files, {found.model}, SHA-256 {found.sha256}.")
    if found.checked:
        say(f"It was signed with the private half of {options.key}.")
    elif found.signed:
        say("It is signed, but no key was given to check the signature with: --key KEY.pem.")
    else:
        say("It is not signed, so this shows no damage, but not who made it.")
    return 0


def waits(made: Json) -> bool:
    """Whether the answer to a move of an alias is a request for approval of it."""
    return made.get("status") == "pending"


def tell_waiting(lathe: Lathe, asked: Json) -> int:
    """Says on the error stream that a second member has to approve."""
    complain(
        f"{asked['alias']} is protected, so it still points at version {asked['from_number']}. Another member has to "
        f"approve request {asked['id']} to move it to version {asked['to_number']}: {lathe.url}/approvals/"
    )
    return WAITS


def decided(lathe: Lathe, asked: Json) -> int:
    """Waits until somebody has decided about the request."""
    row = lathe.wait(f"alias-requests/{asked['id']}/", waits)
    if row["status"] == "approved":
        say(f"{row['alias']} points at version {row['to_number']} ({row['version']}).")
        return 0
    by = f" by {row['decided_by']}" if row["decided_by"] else ""
    say(f"{row['alias']} was not moved: {row['status']}{by}. {row['decision']}".rstrip())
    return NOT_MOVED


def reading(options: argparse.Namespace) -> Json | None:
    """How a file of data is read, from the options; `None` if they do not say."""
    spec: Json = {}
    if options.spec:
        spec = read_json(options.spec if options.spec.lstrip().startswith("{") else existing(Path(options.spec)))
    given: list[str] = [name for name in ("kind", "task", "label") if getattr(options, name)]
    return {**spec, **{name: getattr(options, name) for name in given}} or None


def with_store(
    command: Callable[[argparse.Namespace, Store], int],
) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        with portal(options) as lathe:
            return command(options, Store(lathe, team=options.team))

    return run


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "login": login,
    "upload": upload,
    "dataset": dataset,
    "optimize": optimize,
    "report": report,
    "download": download,
    "promote": promote,
    "verify": check_package,
    "card": with_store(card),
    "templates": with_store(templates),
    "comment": with_store(comment),
    "gate": lambda options: gate(options, portal, reading),
}
