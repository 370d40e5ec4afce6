"""Which part of the documentation each page is about."""

from __future__ import annotations

from django.urls import reverse

CHAPTERS = {
    "optimization:session-compare": "user-guide#measure-two-versions-in-turns",
    "optimization:session-new": "user-guide#set-the-criteria",
    "optimization:session-template": "user-guide#templates",
    "optimization:template": "user-guide#templates",
    "optimization:session-answers": "user-guide#read-the-report",
    "optimization:session-layer-table": "user-guide#read-the-report",
    "optimization:session": "user-guide#run-the-session",
    "optimization:report": "user-guide#read-the-report",
    "optimization:predictions": "history#how-good-predictions-are",
    "optimization:criteria": "user-guide#set-the-criteria",
    "optimization:storage": "user-guide#storage-and-retention",
    "optimization:retention": "user-guide#storage-and-retention",
    "optimization:workers": "deployment#more-workers-more-machines",
    "optimization:compare": "user-guide#compare",
    "optimization:audit": "user-guide#audit-trail",
    "optimization:": "user-guide",
    "models:dataset": "user-guide#add-a-data-set",
    "models:approval": "user-guide#members-and-service-accounts",
    "models:": "user-guide#upload-a-model",
    "notifications:": "notifications",
    "operations:": "monitoring#the-page-of-operators",
    "accounts:token": "api#a-token",
    "accounts:team": "user-guide#members-and-service-accounts",
    "accounts:service": "user-guide#members-and-service-accounts",
    "accounts:": "user-guide#log-in",
    "account_": "user-guide#log-in",
    "mfa_": "user-guide#log-in",
}
"""By the beginning of a view's name, the most specific first: a document, and a heading's anchor where one fits."""


def help_address(view_name: str) -> str:
    """The address of the documentation for a page, empty where there is none."""
    chapter = next((chapter for prefix, chapter in CHAPTERS.items() if view_name.startswith(prefix)), "")
    name, _, anchor = chapter.partition("#")
    return reverse("guide:document", args=[name]) + (f"#{anchor}" if anchor else "") if name else ""
