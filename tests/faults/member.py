"""A member of the team, who knows the installation by its API alone, and is patient with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx

API = "/api/v1/"
ACTIVE = ("queued", "running")
_AWAY = (500, 502, 503)
"""What a portal answers whose database or queue is away: ask again."""


class Member:
    def __init__(self, url: str, furnished: Mapping[str, Any]) -> None:
        self.furnished = furnished
        headers = {"Authorization": f"Bearer {furnished['token']}"}
        self._http = httpx.Client(base_url=url + API, headers=headers, timeout=10)

    def close(self) -> None:
        self._http.close()

    def start(self) -> str:
        """A session that makes everything anew."""
        given = {name: self.furnished[name] for name in ("version", "dataset")}
        body = {**given, "criteria": {}, "seed": 7, "make_anew": True, "start_anyway": True}
        return str(self._post("sessions/", body)["id"])

    def cancel(self, session: str) -> None:
        self._post(f"sessions/{session}/cancel/", {})

    def resume(self, session: str) -> None:
        self._post(f"sessions/{session}/resume/", {})

    def read(self, path: str) -> Any:
        """The answer, or `None` while there is none."""
        with suppress(httpx.TransportError):
            answer = self._http.get(path)
            if answer.status_code not in _AWAY:
                assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
                return answer.json()
        return None

    def ended(self, session: str) -> dict[str, Any] | None:
        """The session once it has ended."""
        found = self.read(f"sessions/{session}/")
        return found if found and found["status"] not in ACTIVE else None

    def steps(self, session: str) -> list[dict[str, Any]]:
        return list(self.read(f"sessions/{session}/steps/") or ())

    def verdict(self, session: str) -> dict[str, Any]:
        """What must be the same, whatever happened on the way."""
        found = self.read(f"sessions/{session}/")
        candidates = self.read(f"sessions/{session}/candidates/")
        report = self.read(f"sessions/{session}/report/")
        return {
            "outcome": found["outcome"],
            "verdict": found["verdict"],
            "candidates": [(one["key"], one["status"], one["reason"]) for one in candidates],
            "steps": [(one["key"], one["status"], _made(one)) for one in self.steps(session)],
            "constraints": report["verdict"],
        }

    def queues_served(self) -> set[str]:
        """The queues of the workers that live."""
        found = self.read("workers/") or {"results": ()}
        return {queue for worker in found["results"] if worker["alive"] for queue in worker["queues"]}

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._http.post(path, json=body)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text[:500]}"
        return dict(answer.json())


def _made(step: Mapping[str, Any]) -> str | None:
    """The digest of what a step has made; a package holds times and differs."""
    return None if step["kind"] == "package" else step["artifact_sha256"]
