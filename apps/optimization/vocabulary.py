"""Words that agents use as values and that pages show in their own language: marked here for the catalogue.

Agents know nothing of languages. A page translates such a word where it shows it, with `{% translate word %}` or the
filter `translated`. Sentences of agents are records and stay as they are.
"""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

STATES = (
    _("queued"),
    _("running"),
    _("completed"),
    _("failed"),
    _("cancelled"),
    _("planned"),
    _("rejected"),
    _("accepted"),
    _("selected"),
    _("skipped"),
    _("nothing to change"),
)
VERDICTS = (_("holds"), _("violated"), _("inconclusive"))
DIFFERENCES = (_("differs"), _("same"), _("not shown"), _("not known"))
EDITS = (_("removed"), _("pinned"), _("added"), _("changed"))
LINKS = (_("open"), _("expired"), _("revoked"))
OBJECTIVES = (_("latency"), _("size"), _("memory"), _("balanced"))
RISKS = (_("none"), _("low"), _("medium"), _("high"))
FINDINGS = (_("group"), _("class"), _("churn"))
TIMING = (_("good"), _("busy"), _("too busy"))
SANDBOX = (_("full"), _("enough"), _("partial"))
SANDBOX_GAPS = (
    _("read and change every file that the worker can (Landlock of Linux 5.19 or newer)"),
    _("end processes of the worker's user (Landlock of Linux 6.12 or newer)"),
    _("connect to sockets in the file system (seccomp)"),
    _("use the network, except for TCP (seccomp)"),
    _("use the network (seccomp)"),
)
FAMILIES = (
    _("architecture search"),
    _("calibration"),
    _("compression"),
    _("distillation"),
    _("export"),
    _("graph optimization"),
    _("pruning"),
    _("quantization"),
    _("training"),
)
METRICS = (
    _("metric"),
    _("top-1 accuracy"),
    _("top-5 accuracy"),
    _("macro F1"),
    _("mean absolute error"),
    _("root mean squared error"),
    _("R² × 100"),
    _("mean cosine similarity × 100"),
    _("Spearman correlation × 100"),
    _("agreement with the original"),
    _("sequence agreement with the original"),
    _("perplexity"),
    _("negative log-likelihood"),
    _("accuracy by log-likelihood"),
    _("accuracy by log-likelihood per character"),
    _("last word accuracy"),
)
UNITS = (_("points"), _("point"), _("byte"), _("bytes"), _("nats per token"), _("of the original"), _("% of its value"))
MOVES = (
    _("be continued"),
    _("be deleted"),
    _("be retried"),
    _("begin"),
    _("cancel"),
    _("deliver another candidate"),
    _("measure speed"),
    _("proceed"),
    _("resume"),
    _("settle"),
)
SUBJECTS = (_("compared version"), _("criteria"), _("data set"), _("model"), _("student"))
SIZES = (_("compressed"), _("as TensorFlow Lite"))
CHANCE = (_("may be chance"),)
HISTOGRAMS = (_("score of the answer"), _("output"))
PLANNED_STEPS = (
    _("Analysis"),
    _("Analysis of the export"),
    _("Judging the best candidate"),
    _("Measuring"),
    _("Packaging"),
)
ERRORS_OF_PREDICTIONS = (_("as predicted"), _("by the tables alone"))
