"""Templates of sessions."""

from __future__ import annotations

from apps.errors import UserError


class TemplateNameMissing(UserError):
    code = "template.name_missing"
    sentence = "The template needs a name of at most {longest} characters. Enter one."


class TemplateNameTaken(UserError):
    code = "template.name_taken"
    status = 409
    sentence = "“{model}” already has a template called “{name}”. Replace it, or choose another name."


class TemplateOfComparison(UserError):
    code = "template.of_comparison"
    sentence = "This session compares two versions and optimizes nothing, so it cannot be a template."


class TemplateIncomplete(UserError):
    code = "template.incomplete"
    status = 409
    sentence = "The {what} of the template “{name}” was deleted. Fill in a new session from it, and choose another."


class TemplateElsewhere(UserError):
    code = "template.elsewhere"
    sentence = "{version} is not a version of “{model}”, which the template is for. Choose one of its versions."


class NoVersionReady(UserError):
    code = "template.no_version_ready"
    status = 409
    sentence = "No version of “{model}” has passed its checks yet, so nothing was started. Add one, or wait for it."
