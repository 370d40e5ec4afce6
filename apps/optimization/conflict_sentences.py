"""What conflicts of criteria say, in the page's language.

Agents know nothing of languages: they write a conflict in English, which the API gives and records keep. A page
recognizes the sentence here by its form, and the parts that were filled in by forms of their own. Reasons of techniques
and numbers stay as they are, and so does a sentence without a form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from apps.kept_sentences import has_form, translation_of
from apps.optimization.localized import listed

CONFLICTS = (
    _("{label} is allowed, but also forbidden. Remove it from one of the lists."),
    _("{label} is required, but also forbidden. Remove it from one of the lists."),
    _("{label} is allowed and required, but also forbidden. Remove it from one of the lists."),
    _("{label} is required, but only other techniques are allowed. Allow it, or do not require it."),
    _("Not one technique is permitted, so a session could only analyse and package the original."),
    _("The operators have switched {label} off on this installation. Do without it."),
    _("{reason} Do without it, or wait until then."),
    _("No worker can run {label}, because none of them has {names}. Do without it, or install that on a worker."),
    _("{label} runs on {devices} only, but the target is {device}. Change the target, or do without it."),
    _("{label} is required, but it cannot be applied to this model. {reason}"),
    _("{label} starts from {export}, which the criteria exclude. Permit the export, or do without {again}."),
    _("{label} is required, but as far as is known before the analysis, it will not be measured. {reason}"),
    _("{demand}, but {bound}. The nearest is {point}"),
    _("{demand}, but {bound}."),
    _(
        "The model has to be at least {ratio}× as fast, but no permitted technique is predicted to come near. "
        "{nearest} Speeds are estimates before the analysis."
    ),
    _(
        "The model has to be at least {ratio}× as fast, but no permitted technique is predicted to come near. "
        "Speeds are estimates before the analysis."
    ),
    _(
        "The model may take at most {limit} of memory, but {form} its weights alone need {needed}. Allow more "
        "memory, or permit techniques that make the model smaller."
    ),
    _(
        "None of the permitted techniques can be tried on this model, so a session would end with the original. "
        "With all techniques allowed, {number} candidates would be planned."
    ),
    _(
        "None of the permitted techniques can be tried on this model, so a session would end with the original. "
        "With all techniques allowed, {number} candidate would be planned."
    ),
    _(
        "{required} techniques are required, but at most {most} may be tried: {why}. Allow {number} candidates, or "
        "require fewer techniques."
    ),
    _(
        "Making and measuring the cheapest candidate should take at least {time}, but the budget is {budget}. "
        "Allow more minutes, or it may not be measured."
    ),
    _(
        "Making and measuring the cheapest candidate with {label} should take at least {time}, but the budget is "
        "{budget}. Allow more minutes, or it may not be measured."
    ),
    _(
        "The loss is limited to {first} and to {second}. Both have to hold, so the tighter one decides. Which one "
        "that is depends on the original's value. Keep one of them."
    ),
    _(
        "Weights count under the balanced objective only, but the objective is {objective}. Choose the balanced "
        "objective, or leave the weights out."
    ),
    _("The original has {size}, so “{tighter}” is the tighter limit: “{looser}” has no effect beside it."),
    _(
        "An earlier session measured {latency} for the original on this target, so “{tighter}” is the tighter "
        "limit: “{looser}” has no effect beside it."
    ),
    _(
        "The loss of {metric} is limited, but it cannot be measured with this data set. Remove the limit, or limit "
        "{metrics}."
    ),
    _(
        "The losses of {metrics} are limited, but no task measures all of them, so every session would be refused. "
        "Keep the limits on the metrics of one task."
    ),
    _(
        "The {metric} is the metric that this data set is judged by. Its loss is limited to {first}, and to "
        "{second} among the further metrics. Both have to hold, so the tighter one decides. Keep one of them."
    ),
    _(
        "Only {output} is judged: nothing limits how far {others} may be from the original's. Set a limit on the "
        "other outputs, unless nobody uses them."
    ),
    _(
        "The loss of the output {output} is limited, but this data set has no labels for it. Remove the limit, or "
        "limit {others} instead."
    ),
    _(
        "The loss of the output {output} is limited, but this data set has no labels for it. Remove the limit, or "
        "choose a data set with its labels."
    ),
    _(
        "The data set has labels for the output {output} in {column}, and the criteria do not limit its loss of "
        "{metric}. It is measured and reported; only its deviation from the original's can reject a candidate. "
        "Limit its loss."
    ),
    _(
        "The objective is {objective}, but no permitted technique usually gains any of that. Permit others, or "
        "choose another objective."
    ),
    _(
        "The model has to be at least {ratio} times faster, but no permitted technique usually makes a model "
        "faster. Permit others, or remove the limit."
    ),
    _(
        "The model has to be at least {ratio} times smaller, but no permitted technique usually makes a model "
        "smaller. Permit others, or remove the limit."
    ),
    _(
        "The compressed size counts, but no permitted technique for this makes zeros or repeated weights, which "
        "are what compresses better. Count the file as it is, or permit such a technique."
    ),
    _(
        "{examples} examples judge, too few for the limit of {amount}: a candidate without any loss stays "
        "inconclusive in {share} of sessions, depending on how many answers it changes between right and wrong "
        "({changed}). {advice}"
    ),
    _(
        "Whether {metric} loses more than {amount} stays inconclusive in {share} of sessions for a candidate "
        "without any loss. Add examples, or relax the limit."
    ),
    _(
        "Of {number} groups, {group} is the smallest: about {examples} of its examples judge. Whether it loses "
        "more than {amount} stays inconclusive in {share} of sessions for a candidate without any loss. Add "
        "examples of {again}, or relax the limit."
    ),
    _(
        "Of {number} classes, {group} is the smallest: about {examples} of its examples judge. Whether it loses "
        "more than {amount} stays inconclusive in {share} of sessions for a candidate without any loss. Add "
        "examples of {again}, or relax the limit."
    ),
    _(
        "Your default, {own}, takes precedence over the team's, {team}. They differ in {fields}. Use the team's "
        "for this session, or keep yours."
    ),
    _(
        "The limit on the loss counts in the unit of the {metric}: {amount}. How much that is depends on the "
        "labels: no session has measured the original's {again} yet. Give a limit in this unit, or a share of the "
        "original's value."
    ),
    _(
        "The limit on the loss counts in the unit of the {metric}: {amount}. The original's {again} is only "
        "{value}, so even a ruined candidate could hold it. Give a limit in this unit, or a share of the "
        "original's value."
    ),
    _(
        "The loss of each group is limited, but the data set has no groups. Upload it again and name the array or "
        "column with the group of each example (“Groups in”, or `group` in the API; the label column for every "
        "class), or remove the limit."
    ),
    _(
        "The loss of each group is limited, but its metric, {metric}, is not a mean over examples, so it has no "
        "value for a group. Choose another metric, or remove the limit."
    ),
    _(
        "The loss of each class is limited, but the data set's task is {task}, whose labels are not classes. "
        "Choose a data set for classification, or remove the limit."
    ),
)
DEMANDS = (
    _("The model has to be at least {ratio} times smaller"),
    _("The file may have at most {limit}, {ratio} times less than the original's {size}"),
)
BOUNDS = (
    _("with the permitted number types the file cannot become more than {ratio} times smaller"),
    _(
        "with the permitted number types the file cannot become more than {ratio} times smaller, as long as its "
        "export keeps all weights"
    ),
    _("no permitted technique is predicted to reach that"),
)
NEAREST = (_("The nearest is {point}"),)
NEAREST_POINTS = (
    _("{title}: {points}. Allow other techniques, or set the limit to {reached}."),
    _("{title}: {points}. Allow other techniques, or set the limits to {reached}."),
)
POINTS = (
    _("predicted {speed}× as fast, and {wanted}× is required"),
    _("predicted at {latency}, and {limit} is the limit"),
    _("{ratio} times smaller, and {wanted} times is required"),
    _("{size}, and {limit} is the limit"),
)
REACHED = (_("{ratio}× as fast"), _("{ratio} times smaller"))
FORMS_OF_WEIGHTS = (
    _("as they are,"),
    _("even as {title}, the smallest that is predicted,"),
    _("even in the narrowest of the permitted number types"),
)
WHY_TOO_FEW = (
    _("{number} of them are quantizations, each of which needs a candidate of its own"),
    _("each may need a candidate of its own"),
)
ADVICE = (
    _(
        "About {more} examples in the data set would be enough, or a limit of {amount}. With these criteria, only "
        "proven candidates are delivered."
    ),
    _("About {more} examples in the data set would be enough, or a limit of {amount}."),
)
WORDS = (
    _("the CPU"),
    _("a GPU (CUDA)"),
    _("the other outputs"),
    _("1 candidate"),
    # xgettext:no-python-format
    _("{number} % of the original's value"),
    _("at least {ratio} times smaller"),
    _("at least {ratio}× as fast"),
    _("at most {size}"),
    _("the output {name}"),
    _("{number} candidates"),
)
PARTS = (
    *DEMANDS,
    *BOUNDS,
    *NEAREST,
    *NEAREST_POINTS,
    *POINTS,
    *REACHED,
    *FORMS_OF_WEIGHTS,
    *WHY_TOO_FEW,
    *ADVICE,
    *WORDS,
)


def in_language(message: str) -> str:
    """A conflict's message in the page's language."""
    return translation_of(message, CONFLICTS, _say) or message


def is_known(message: str) -> bool:
    return has_form(message, CONFLICTS)


def _say(name: str, value: str) -> str:
    return _SAID.get(name, str)(value)


def _by(*forms: str) -> Callable[[str], str]:
    """The part in the page's language, if one of these forms made it."""
    return lambda part: translation_of(part, forms, _say) or part


def _word(word: str) -> str:
    return translation_of(word, WORDS, _say) or gettext(word)


def _all(separator: str, say: Callable[[str], str]) -> Callable[[str], str]:
    return lambda joined: separator.join(say(part) for part in joined.split(separator))


def _listed(say: Callable[[str], str]) -> Callable[[str], str]:
    """`a, b and c`, each said anew."""

    def said(names: str) -> str:
        before, _and, last = names.rpartition(" and ")
        return listed([say(name) for name in (*(before.split(", ") if before else ()), last)])

    return said


def _amount(amount: str) -> str:
    """`0.5 points`, with the unit in the page's language, or one of `WORDS`."""
    if said := translation_of(amount, WORDS, _say):
        return said
    number, space, unit = amount.partition(" ")
    return f"{number}{space}{gettext(unit) if unit else ''}"


_SAID: Mapping[str, Callable[[str], str]] = {
    "demand": _by(*DEMANDS),
    "bound": _by(*BOUNDS),
    "nearest": _by(*NEAREST),
    "point": _by(*NEAREST_POINTS),
    "points": _all("; ", _by(*POINTS)),
    "reached": _listed(_by(*REACHED)),
    "form": _by(*FORMS_OF_WEIGHTS),
    "why": _by(*WHY_TOO_FEW),
    "advice": _by(*ADVICE),
    "devices": lambda names: gettext(" or ").join(_word(name) for name in names.split(" or ")),
    "device": _word,
    "most": _word,
    "others": _word,
    "objective": gettext,
    "task": gettext,
    "metric": gettext,
    "again": gettext,
    "metrics": lambda names: gettext(" or ").join(_listed(gettext)(name) for name in names.split(" or ")),
    "amount": _amount,
    "first": _amount,
    "second": _amount,
    "tighter": _word,
    "looser": _word,
    "fields": _listed(str),
    "names": _listed(str),
    "share": lambda share: share.replace(" to ", gettext(" to ")),
    "changed": lambda share: share.replace(" to ", gettext(" to ")),
    "more": lambda count: count.replace(" to ", gettext(" to ")),
}
"""How values are said. Others are names and numbers, which stay as they are."""
