"""Models, versions, data sets and criteria by the names that people give them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lathe_client.client import Json, Lathe
from lathe_client.errors import LatheError
from lathe_client.paths import read_text
from lathe_client.uploads import Tell, digest_of, upload


def _quiet(done: int, size: int) -> None:
    """Tells nobody."""


class Store:
    """What a team keeps in the portal. `tell` is told of the progress of uploads."""

    def __init__(self, lathe: Lathe, *, team: str | None = None, tell: Tell = _quiet) -> None:
        self.lathe = lathe
        self.team = team
        self._tell = tell

    # --- models ------------------------------------------------------------------------------------------------------

    def find_model(self, name: str) -> Json | None:
        return next(iter(self._called(name, "models/")), None)

    def model(self, name: str) -> Json:
        """The model called `name`, which is registered if there is none."""
        return self.find_model(name) or self.lathe.post("models/", {"name": name, "team": self.team})

    def add_version(self, model: Json, path: Path, description: str = "") -> Json:
        """A version of `model` with this file, once it is checked. A file that it already has is not sent again."""
        same = self.lathe.rows("versions/", model=model["id"], sha256=digest_of(path))
        row = next((one for one in same if one["status"] != "refused"), None)
        if row is None:
            sent = upload(self.lathe, path, team=self.team, tell=self._tell)
            body = {"model": model["id"], "upload": sent, "filename": path.name, "description": description}
            row = self.lathe.post("versions/", body)
        return self.lathe.checked(f"versions/{row['id']}/")

    def version(self, reference: str, model: str | None = None) -> Json:
        """The version that `reference` names, ready to use.

        An id such as `31`; `classifier@production` or `@production`, what an alias points at; `classifier#3` or `#3`,
        the third version; or the path of a file, which becomes a version of `model`.
        """
        path = Path(reference)
        if path.is_file():
            return self.add_version(self.model(model or path.stem), path)
        if reference.isdigit():
            return self.lathe.checked(f"versions/{reference}/")
        for sign, found in (("@", self._by_alias), ("#", self._by_number)):
            name, separator, rest = reference.rpartition(sign)
            if separator:
                return self.lathe.checked(f"versions/{found(self._named(name or model, reference), rest)}/")
        raise LatheError(
            f"“{reference}” is neither a file here nor a version. Name a file, an id, model@alias or model#number."
        )

    def _named(self, name: str | None, reference: str) -> Json:
        if name is None:
            raise LatheError(f"“{reference}” does not say of which model. Write model{reference}, or give --model.")
        return self.known_model(name)

    def known_model(self, name: str) -> Json:
        """The model called `name`. Raises `LatheError` if there is none."""
        found = self.find_model(name)
        if found is None:
            raise LatheError(f"There is no model called “{name}” in your team.")
        return found

    def _by_alias(self, model: Json, alias: str) -> int:
        row = next(self.lathe.rows("aliases/", model=model["id"], name=alias), None)
        if row is None:
            known = ", ".join(sorted(model["aliases"])) or "none yet"
            raise LatheError(f"The model “{model['name']}” has no alias “{alias}”. Its aliases: {known}.")
        return int(row["version"])

    def _by_number(self, model: Json, number: str) -> int:
        row = next(self.lathe.rows("versions/", model=model["id"], number=number), None) if number.isdigit() else None
        if row is None:
            raise LatheError(f"The model “{model['name']}” has no version {number}.")
        return int(row["id"])

    # --- templates ---------------------------------------------------------------------------------------------------

    def templates(self, model: int) -> list[Json]:
        """The templates of the model with this id."""
        return list(self.lathe.rows("session-templates/", model=model))

    def template(self, model: int, name: str) -> Json:
        rows = self.templates(model)
        row = next((one for one in rows if one["name"] == name), None)
        if row is None:
            known = ", ".join(str(one["name"]) for one in rows) or "none yet"
            raise LatheError(f"The model has no template called “{name}”. Its templates: {known}.")
        return row

    # --- data sets ---------------------------------------------------------------------------------------------------

    def dataset(self, reference: str, *, name: str | None = None, spec: Mapping[str, Any] | None = None) -> Json:
        """The data set with this id or name, or with this file, which is uploaded if the team has no such data set."""
        path = Path(reference)
        if path.is_file():
            return self._dataset_of(path, name or path.stem, spec)
        if reference.isdigit():
            return self.lathe.checked(f"datasets/{reference}/")
        rows = self._called(reference, "datasets/")
        if not rows:
            raise LatheError(f"There is no file and no data set called “{reference}”.")
        return self.lathe.checked(f"datasets/{rows[0]['id']}/")

    def _dataset_of(self, path: Path, name: str, spec: Mapping[str, Any] | None) -> Json:
        digest = digest_of(path)
        rows = self._called(name, "datasets/")
        row = next((one for one in rows if one["sha256"] == digest and one["status"] != "refused"), None)
        if row is None:
            if spec is None:
                raise LatheError(
                    f"{path.name} is new to the portal, so it has to be told how to read it: give --kind and --task, "
                    "or --spec."
                )
            sent = upload(self.lathe, path, team=self.team, tell=self._tell)
            body = {"name": name, "spec": dict(spec), "upload": sent, "filename": path.name, "team": self.team}
            row = self.lathe.post("datasets/", body)
        return self.lathe.checked(f"datasets/{row['id']}/")

    # --- criteria ----------------------------------------------------------------------------------------------------

    def criteria(self, reference: str | None) -> Json:
        """The part of a request that names criteria: a JSON file, or the name or id of saved ones; empty for the
        default. Of one name, the team's own come before the built-in ones."""
        if reference is None:
            return {}
        path = Path(reference)
        if path.is_file():
            return {"criteria": read_json(path)}
        if reference.isdigit():
            return {"criteria_set": int(reference)}
        own = self._called(reference, "criteria/", current="true", built_in="false")
        rows = own or self._called(reference, "criteria/", anyones=True, current="true", built_in="true")
        if not rows:
            raise LatheError(f"There are no criteria called “{reference}”, and no such file.")
        return {"criteria_set": rows[0]["id"]}

    # --- names -------------------------------------------------------------------------------------------------------

    def _called(self, name: str, path: str, *, anyones: bool = False, **parameters: str) -> list[Json]:
        """The team's rows with this name, or those of no team if they are `anyones`.

        Raises `LatheError` if several teams have some and none was named: the first would be a guess.
        """
        team = None if anyones else self.team
        rows = list(self.lathe.rows(path, name=name, team=team, **parameters))
        teams = sorted({str(row["team"]) for row in rows})
        if len(teams) > 1:
            raise LatheError(f"Several of your teams have something called “{name}”. Give --team: {', '.join(teams)}.")
        return rows


def read_json(source: Path | str) -> Json:
    """A JSON object from a file, or from text. Raises `LatheError`."""
    text = read_text(source) if isinstance(source, Path) else source
    try:
        value = json.loads(text)
    except ValueError as error:
        raise LatheError(f"{source} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise LatheError(f"{source} is not a JSON object.")
    return value
