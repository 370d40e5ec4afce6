"""Why a session cannot start: its model, its data set, its criteria against both."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from apps.errors import UserError
from apps.optimization.errors.criteria import Contradictory
from apps.optimization.errors.worded import Worded


class VersionNotReady(UserError):
    code = "session.version_not_ready"
    status = 409
    sentence = _("{version} cannot be optimized: it {state}.")


class DataSetNotReady(UserError):
    code = "session.dataset_not_ready"
    status = 409
    sentence = _("The data set {dataset} cannot be used: it {state}.")


class TeamsDiffer(Worded):
    WORDS = ("what",)
    code = "session.teams_differ"
    sentence = _("The {what} {name} belongs to another team than the model. Choose one of {team}.")


class ComparedInterfaceDiffers(UserError):
    code = "session.compared_interface_differs"
    sentence = _(
        "{compared} cannot be compared with {version}: {difference}. Choose a version with the same inputs and outputs."
    )


class NothingToProve(UserError):
    code = "session.nothing_to_prove"
    sentence = _(
        "The criteria set no limit, so a comparison could not prove anything. Set a limit, such as the largest loss of "
        "the metric."
    )


class SizeUncounted(UserError):
    code = "session.size_uncounted"
    sentence = _(
        "These criteria count the size as TensorFlow Lite, but {version} is a model in the format {label}, which is "
        "not exported to it. Count the file or the compressed download, or choose a Keras, SavedModel or TensorFlow "
        "Lite model."
    )


class SessionContradictory(Contradictory):
    """Criteria that contradict themselves, the model, the data set or the installation."""

    code = "session.contradictory"
    status = 409
    sentence = _("This session cannot start, because its criteria contain a contradiction. {summary}")


class PlanEditsInvalid(UserError):
    """`problems` lists every wrong edit, each as `{field, code, message}`."""

    code = "session.plan_edits_invalid"
    sentence = _("The plan cannot be edited like this. {summary}")
    MOST_SAID = 5

    def __init__(self, problems: list[dict[str, str]]) -> None:
        self.problems = [{**one, "field": f"edits.{one['field']}" if one["field"] else "edits"} for one in problems]
        sentences = [f"{one['field']}: {one['message']}." for one in self.problems[: self.MOST_SAID]]
        more = len(self.problems) - len(sentences)
        summary = " ".join([*sentences, *([gettext("{number} more are wrong.").format(number=more)] if more else [])])
        super().__init__(field=self.problems[0]["field"], summary=summary)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "errors": self.problems}


class NothingToTry(UserError):
    code = "session.nothing_to_try"
    status = 409
    sentence = _(
        "This session would end with the original, because nothing can be tried. {summary} Change the criteria, or "
        "start anyway to analyse and package the original."
    )
