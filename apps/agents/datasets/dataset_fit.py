"""Whether a data set fits a model, checked before a session starts, using only the two summaries.

Only this module decides which array goes to which input. The loader uses the same `bind`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from apps.agents.contracts.dataset_spec import MINIMUM_EXAMPLES, PAIR_SUFFIXES, DatasetKind, DatasetSpec, InputReading
from apps.agents.contracts.errors.datasets import (
    ClassesMismatch,
    InputDtype,
    InputExtra,
    InputMissing,
    InputReadingUnknown,
    InputShape,
    InputUnfilled,
    InterfaceUnknown,
    LabelsInvalid,
    OutputUnknown,
    TextColumns,
    TooFewExamples,
)
from apps.agents.contracts.errors.evaluation import OutputUnfit
from apps.agents.contracts.reports.dataset import DatasetSummary, Task
from apps.agents.contracts.reports.model import ModelSummary, TensorSpec
from apps.agents.contracts.values import Value
from apps.agents.datasets.metric_fit import check_sequences
from apps.agents.datasets.text_fit import check_text_input, check_texts
from apps.agents.files.class_numbers import class_count, numbering
from apps.errors import UserError

BATCH_NAMES = frozenset(("batch", "batch_size", "batchsize", "batch_dim", "bs", "n", "b", "unk_batch"))
"""Names of the batch axis that exporters and people use."""
_RANKS = {"bool": 0, "uint": 1, "int": 1, "float": 2, "bfloat": 2}


class Binding(Value):
    """One input of the model and the offered arrays that fill it: one array, two halves of a pair, or many columns."""

    wanted: TensorSpec
    sources: tuple[str, ...]
    found: TensorSpec
    """The type and shape of the sources, put together."""
    batch_axis: int | None = 0
    """Batch axis of the input; `None` if all examples share the input."""
    reading: InputReading = InputReading()

    @property
    def example_first(self) -> TensorSpec:
        """The input with its batch axis moved to the front."""
        shape = list(self.wanted.shape)
        if self.batch_axis and self.batch_axis < len(shape):
            shape.insert(0, shape.pop(self.batch_axis))
        return self.wanted.model_copy(update={"shape": tuple(shape)})


def check_against(model: ModelSummary, dataset: DatasetSummary, spec: DatasetSpec | None = None) -> None:
    """Raise the error that explains why `dataset` cannot feed or judge `model`; return if it can.

    `spec` adds what a summary does not contain: the judged output and the form of an embedding's labels.
    """
    if not model.inputs or not model.outputs:
        raise InterfaceUnknown(lacking="gives" if model.inputs else "takes", field="version")
    if not dataset.inputs:
        raise InputMissing(wanted=str(model.inputs[0]), offered="nothing", field=model.inputs[0].name)
    if dataset.examples < MINIMUM_EXAMPLES:
        raise TooFewExamples(examples=dataset.examples, minimum=MINIMUM_EXAMPLES)
    if spec is not None:
        check_sequences(spec, judged_output(model.outputs, spec.output))
    if dataset.kind == DatasetKind.TEXT:
        check_texts(model, dataset, spec, judged_output(model.outputs, spec.output if spec else None))
        bind(model.inputs, dataset)
        _check_labels(model, dataset, spec)
        return
    readings = spec.inputs if spec else {}
    bindings = bind(model.inputs, dataset, pairs=_has_pairs(model.inputs, dataset), readings=readings)
    for binding in bindings:
        check_input(binding)
    _check_shared_axes(bindings)
    _check_labels(model, dataset, spec)
    if spec is not None:
        _check_output_labels(model, dataset, spec)


def bind(
    inputs: Sequence[TensorSpec],
    dataset: DatasetSummary,
    *,
    pairs: bool = False,
    readings: Mapping[str, InputReading] | None = None,
) -> tuple[Binding, ...]:
    """What fills each input, and its batch axis: offered arrays, or what the `readings` declare for an input.

    Raises `InputMissing`, `InputExtra`, `InputReadingUnknown`, `InputUnfilled`.
    """
    given = readings or {}
    for name in given:
        if name not in {spec.name for spec in inputs}:
            raise InputReadingUnknown(name=name, wanted="; ".join(map(str, inputs)), field="inputs")
    shared = {
        spec.name: _shared(spec, given[spec.name]) for spec in inputs if spec.name in given and given[spec.name].shared
    }
    offered = iter(_bind_offered([spec for spec in inputs if spec.name not in shared], dataset, pairs=pairs))
    bindings = (shared[spec.name] if spec.name in shared else next(offered) for spec in inputs)
    return tuple(_laid_out(binding, given.get(binding.wanted.name)) for binding in bindings)


def _bind_offered(inputs: Sequence[TensorSpec], dataset: DatasetSummary, *, pairs: bool) -> tuple[Binding, ...]:
    """Which offered arrays fill which input. Raises `InputMissing` and `InputExtra`.

    Names decide. A single array with any name (pictures, an array of an `.npz`, combined columns) fills the model's
    only input, and so do the columns of a table if none of them has an input's name. Texts fill every input;
    `TextInputUnknown` is raised for an input that is not made of tokens.
    """
    offered = {spec.name: spec for spec in dataset.inputs}
    if dataset.kind == DatasetKind.TEXT:
        return tuple(_tokens(wanted, dataset) for wanted in inputs)
    if pairs:
        bindings = [_pair(wanted, offered) for wanted in inputs]
    elif len(inputs) == len(offered) == 1:
        only = dataset.inputs[0]
        bindings = [Binding(wanted=inputs[0], sources=(only.name,), found=only)]
    elif dataset.kind == DatasetKind.TABLE and len(inputs) == 1 and inputs[0].name not in offered:
        bindings = [Binding(wanted=inputs[0], sources=tuple(offered), found=_together(inputs[0], dataset.inputs))]
    else:
        bindings = [_by_name(wanted, offered) for wanted in inputs]
    used = {source for binding in bindings for source in binding.sources}
    for name, spec in offered.items():
        if name not in used:
            raise InputExtra(extra=str(spec), wanted="; ".join(map(str, inputs)), field=name)
    return tuple(bindings)


def _by_name(wanted: TensorSpec, offered: dict[str, TensorSpec]) -> Binding:
    if wanted.name not in offered:
        raise InputMissing(wanted=str(wanted), offered="; ".join(map(str, offered.values())), field=wanted.name)
    return Binding(wanted=wanted, sources=(wanted.name,), found=offered[wanted.name])


def _tokens(wanted: TensorSpec, dataset: DatasetSummary) -> Binding:
    check_text_input(wanted)
    return Binding(wanted=wanted, sources=tuple(spec.name for spec in dataset.inputs), found=dataset.inputs[0])


def _pair(wanted: TensorSpec, offered: dict[str, TensorSpec]) -> Binding:
    names = tuple(wanted.name + suffix for suffix in PAIR_SUFFIXES)
    for name in names:
        if name not in offered:
            raise InputMissing(
                wanted=str(wanted.model_copy(update={"name": name})),
                offered="; ".join(map(str, offered.values())),
                field=name,
            )
    return Binding(wanted=wanted, sources=names, found=offered[names[0]])


def _together(wanted: TensorSpec, columns: Sequence[TensorSpec]) -> TensorSpec:
    """The combined columns, side by side. Raises `TextColumns` and `InputShape` with the columns that do not fit."""
    texts = [column.name for column in columns if column.dtype == "string"]
    if texts and wanted.dtype != "string":
        raise TextColumns(columns=", ".join(map(repr, texts)), wanted=str(wanted), field="columns")
    for column in columns:
        if len(column.shape) != 1:
            reason = (
                f"its column {column} is a list, which cannot be combined with other columns: name the columns of "
                "each input"
            )
            raise InputShape(
                name=wanted.name, wanted=str(wanted), found=f"{len(columns)} columns", reason=reason, field="columns"
            )
    dtypes = [column.dtype for column in columns]
    dtype = "string" if texts else max(dtypes, key=lambda d: (_RANKS.get(d.rstrip("0123456789"), 3), d))
    return TensorSpec(name=wanted.name, dtype=dtype, shape=("N", len(columns)))


def _has_pairs(inputs: Sequence[TensorSpec], dataset: DatasetSummary) -> bool:
    if dataset.task is not Task.EMBEDDING:
        return False
    offered = {spec.name for spec in dataset.inputs}
    return all(wanted.name not in offered for wanted in inputs) and any(
        wanted.name + suffix in offered for wanted in inputs for suffix in PAIR_SUFFIXES
    )


# --- one input -------------------------------------------------------------------------------------------------------


def check_input(binding: Binding) -> None:
    """Raise `InputDtype` or `InputShape` if the data cannot be converted to the input."""
    wanted, found = binding.wanted, binding.found
    if not binding.sources:
        _check_constant(wanted, binding.reading.constant)
        return
    if found.dtype == "string" != wanted.dtype:
        raise TextColumns(columns=", ".join(map(repr, binding.sources)), wanted=str(wanted), field=wanted.name)
    if not converts(found.dtype, wanted.dtype):
        raise InputDtype(name=wanted.name, wanted=str(wanted), found=str(found), field=wanted.name)
    if reason := shape_problem(binding.example_first.shape, found.shape):
        raise InputShape(name=wanted.name, wanted=str(wanted), found=str(found), reason=reason, field=wanted.name)


def _check_constant(wanted: TensorSpec, constant: float | None) -> None:
    if constant is None:
        return
    reason = None
    if wanted.dtype == "string":
        reason = "it takes texts, not numbers"
    elif wanted.dtype.startswith("uint") and constant < 0:
        reason = f"{constant:g} is negative"
    elif wanted.dtype.startswith(("int", "uint")) and not constant.is_integer():
        reason = f"{constant:g} is not a whole number"
    if reason:
        raise InputUnfilled(wanted=str(wanted), reason=reason, field="inputs")


def converts(found: str, wanted: str) -> bool:
    """Whether every value of type `found` has a meaning as `wanted`: bool to number, integer to integer or float.

    Narrowing among integers or among floats is allowed; the loader checks that the integers' values fit. Floats are
    never converted to integers, and text remains text.
    """
    if found == wanted:
        return True
    ranks = [_RANKS.get(dtype.rstrip("0123456789")) for dtype in (found, wanted)]
    if ranks[0] is None or ranks[1] is None:
        return False
    return ranks[0] <= ranks[1] and wanted != "bool"


def shape_problem(wanted: Sequence[int | str | None], found: Sequence[int | str | None]) -> str | None:
    """Why data of shape `found` cannot be an input of shape `wanted`. Both begin with the batch axis."""
    if len(found) == 1 and list(wanted[1:]) == [1]:
        return None  # A column of numbers fills an input [batch, 1].
    if not wanted:
        return "it is one number for all examples: set its constant in the data set's inputs"
    if len(wanted) != len(found):
        return f"the model needs {len(wanted)} axes, but the data has {len(found)}{_folding_hint(wanted, found)}"
    for axis, (want, have) in enumerate(zip(wanted, found, strict=True)):
        if axis > 0 and isinstance(want, int) and isinstance(have, int) and want != have:
            return f"axis {axis} must be {want}, but is {have}{_layout_hint(wanted, found)}"
    return None


def _folding_hint(wanted: Sequence[int | str | None], found: Sequence[int | str | None]) -> str:
    """A hint for flat rows with as many numbers as the input: usually they are the input itself, row by row."""
    sizes = [axis for axis in wanted[1:] if isinstance(axis, int)]
    if len(found) != 2 or len(sizes) != len(wanted) - 1 or math.prod(sizes) != found[1]:
        return ""
    return f" (the columns of a table can be given the shape {' × '.join(map(str, sizes))})"


def _layout_hint(wanted: Sequence[int | str | None], found: Sequence[int | str | None]) -> str:
    """A hint for swapped channels, the usual reason and easily fixed."""
    if len(wanted) == 4 and found[3] == wanted[1] and isinstance(wanted[1], int) and wanted[1] <= 4:
        return " (the data is NHWC, but the model needs NCHW)"
    if len(wanted) == 4 and found[1] == wanted[3] and isinstance(wanted[3], int) and wanted[3] <= 4:
        return " (the data is NCHW, but the model needs NHWC)"
    return ""


def _check_shared_axes(bindings: Sequence[Binding]) -> None:
    """A named axis, such as `sequence`, must have the same length everywhere."""
    seen: dict[str, tuple[int, TensorSpec]] = {}
    for binding in bindings:
        if not binding.sources:
            continue
        for want, have in zip(binding.example_first.shape[1:], binding.found.shape[1:], strict=False):
            if not isinstance(want, str) or not isinstance(have, int):
                continue
            length, other = seen.setdefault(want, (have, binding.found))
            if length != have:
                reason = f"axis {want!r} is {have} here, but {length} in {other}"
                raise InputShape(
                    name=binding.wanted.name,
                    wanted=str(binding.wanted),
                    found=str(binding.found),
                    reason=reason,
                    field=binding.wanted.name,
                )


# --- batch axes ------------------------------------------------------------------------------------------------------


def _shared(wanted: TensorSpec, reading: InputReading) -> Binding:
    """An input that all examples share."""
    return Binding(wanted=wanted, sources=(), found=wanted, batch_axis=_shared_axis(wanted, reading), reading=reading)


def _shared_axis(wanted: TensorSpec, reading: InputReading) -> int | None:
    free = [place for place, axis in enumerate(wanted.shape) if not isinstance(axis, int)]
    axis = reading.batch_axis if reading.batch_axis is not None else (free[0] if len(free) == 1 else None)
    if axis is not None and axis >= len(wanted.shape):
        raise InputUnfilled(
            wanted=str(wanted), reason=f"it does not have the axis {axis} that is set as its batch axis", field="inputs"
        )
    if reading.array is None and (left := [place for place in free if place != axis]):
        many = len(free) > 1 and axis is None
        reason = (
            "set which of its free axes is the batch axis" if many else f"the length of its axis {left[0]} is not known"
        )
        raise InputUnfilled(wanted=str(wanted), reason=f"{reason}, or give it an array of the file", field="inputs")
    return axis


def _laid_out(binding: Binding, reading: InputReading | None) -> Binding:
    """The binding with its batch axis: as declared, otherwise by the shape and the names of the input's axes."""
    if not binding.sources:
        return binding
    rank, chosen = len(binding.wanted.shape), reading.batch_axis if reading else None
    if chosen is not None and chosen >= max(1, rank):
        reason = f"it does not have the axis {chosen} that is set as its batch axis"
        raise InputUnfilled(wanted=str(binding.wanted), reason=reason, field="inputs")
    return binding.model_copy(update={"batch_axis": _batch_axis(binding) if chosen is None else chosen})


def _batch_axis(binding: Binding) -> int:
    """The first axis, unless another axis has a batch name or is the only one at which the data fits."""
    shape = binding.wanted.shape
    if len(shape) < 2 or _names_batch(shape[0]) or len(shape) != len(binding.found.shape):
        return 0
    others = [place for place in range(1, len(shape)) if shape[place] == 1 or not isinstance(shape[place], int)]
    fitting = [place for place in others if _problem_at(binding, place) is None]
    named = [place for place in fitting if _names_batch(shape[place])]
    if len(named) == 1:
        return named[0]
    return fitting[0] if len(fitting) == 1 and _problem_at(binding, 0) is not None else 0


def _problem_at(binding: Binding, axis: int) -> str | None:
    return shape_problem(binding.model_copy(update={"batch_axis": axis}).example_first.shape, binding.found.shape)


def _names_batch(axis: int | str | None) -> bool:
    return isinstance(axis, str) and axis.lower() in BATCH_NAMES


# --- labels ----------------------------------------------------------------------------------------------------------


def judged_output(outputs: Sequence[TensorSpec], name: str | None) -> TensorSpec:
    """The output that predictions are read from: the named one, or the first that is not text (the name of a class).

    Raises `OutputUnknown`.
    """
    if name is None and outputs:
        return next((output for output in outputs if output.dtype != "string"), outputs[0])
    for output in outputs:
        if output.name == name:
            return output
    raise OutputUnknown(output=name, offered=", ".join(output.name for output in outputs) or "none", field="output")


def _check_labels(model: ModelSummary, dataset: DatasetSummary, spec: DatasetSpec | None) -> None:
    output = judged_output(model.outputs, spec.output if spec else None)
    if dataset.task is Task.EMBEDDING and output.shape and all(axis == 1 for axis in output.shape[1:]):
        raise OutputUnfit(
            output=output.name,
            shape=list(output.shape),
            task=dataset.task,
            reason="a direction needs at least two numbers per example; a single number is a regression",
        )
    labels = dataset.labels
    if labels is None or dataset.task in (Task.FIDELITY, Task.MULTIPLE_CHOICE):
        return
    if dataset.task is Task.CLASSIFICATION:
        _check_class_labels(output, labels, dataset)
    elif labels.dtype in ("string", "bool"):
        raise LabelsInvalid(label=labels.name, task=dataset.task, reason=f"they are {labels.dtype}, not numbers")
    elif dataset.kind == DatasetKind.TEXT:
        return  # Scores of pairs.
    elif not _has_pairs(model.inputs, dataset) and (reason := _vector_problem(output, labels, spec)):
        raise LabelsInvalid(label=labels.name, task=dataset.task, reason=reason, field="label")


def _check_output_labels(model: ModelSummary, dataset: DatasetSummary, spec: DatasetSpec) -> None:
    judged = judged_output(model.outputs, spec.output).name
    for name, labels in spec.output_labels.items():
        if name == judged:
            reason = f"{name!r} is the judged output, whose labels are in {spec.label!r}: name another output"
            raise LabelsInvalid(label=labels.label, task=labels.task, reason=reason, field="output_labels")
        try:
            _check_labels(model, dataset.of_output(name), spec.of_output(name))
        except UserError as error:
            error.field = "output_labels"
            raise


def _check_class_labels(output: TensorSpec, labels: TensorSpec, dataset: DatasetSummary) -> None:
    if dataset.label_numbers is None and not dataset.classes:
        _check_label_form(labels, dataset.task)
    numbering(dataset, output)
    columns = class_count(output)
    if not dataset.classes or columns is None:
        return
    if len(dataset.classes) > columns:
        reason = f"the data set has {len(dataset.classes)} classes, but the model's output {output} has {columns}"
        raise ClassesMismatch(reason=reason, field="classes")
    # A missing class would silently shift the numbers of all following classes.
    numbered = all(name.isdecimal() for name in dataset.classes)
    folders = dataset.kind == DatasetKind.IMAGES
    if (folders or labels.dtype == "string") and len(dataset.classes) < columns and not numbered:
        what, who = ("class folders", "the folders") if folders else ("names of classes", "them")
        reason = (
            f"the data set has {len(dataset.classes)} {what}, but the model's output {output} has {columns}: "
            f"name all classes in the model's order, or name {who} by their class numbers"
        )
        raise ClassesMismatch(reason=reason, field="classes")


def _check_label_form(labels: TensorSpec, task: Task) -> None:
    """Check labels that have not been examined."""
    if len(labels.shape) != 1:
        reason = f"{labels} must be one class number per example, with a single axis"
        raise LabelsInvalid(label=labels.name, task=task, reason=reason, field="label")
    if not labels.dtype.startswith(("int", "uint")):
        reason = f"they are {labels.dtype}, but class numbers must be integers from 0"
        raise LabelsInvalid(label=labels.name, task=task, reason=reason, field="label")


def _vector_problem(output: TensorSpec, labels: TensorSpec, spec: DatasetSpec | None) -> str | None:
    """Why labels and output cannot be compared number by number; `None` if they can."""
    if spec is not None and spec.pooling != "none" and output.shape:
        wanted: list[int | str | None] = [output.shape[0], output.shape[-1]]
    else:
        wanted = list(output.shape)
    have = [axis for axis in labels.shape[1:] if axis != 1]
    want = [axis for axis in wanted[1:] if axis != 1]
    if len(have) != len(want) and all(isinstance(axis, int) for axis in want):
        return f"{labels} does not have the axes of the model's output {output}"
    for one, other in zip(have, want, strict=False):
        if isinstance(one, int) and isinstance(other, int) and one != other:
            return f"{labels} does not have the shape of the model's output {output}"
    return None
