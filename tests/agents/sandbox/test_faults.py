"""Whose fault a failure is: the child tells a full disk and lack of memory from the work, and the manager acts."""

from __future__ import annotations

import errno
import shutil
import signal
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.agents.contracts import faults
from apps.agents.contracts.errors.running import ModelRunFailed
from apps.agents.contracts.errors.techniques import TechniqueInvalidOutput
from apps.agents.contracts.faults import Fault
from apps.agents.contracts.job import Job, JobFailure
from apps.agents.contracts.state import Decision, Outcome, SessionState, Status, StepKind
from apps.agents.handlers.fault_attribution import blaming
from apps.agents.sandbox import process
from apps.agents.sandbox.child import failure_of
from apps.agents.sandbox.process import Limits
from apps.agents.sandbox.supervision import Ending
from apps.agents.session.manager import OptimizationManager
from tests.agents.inmemory import STATIC, Run, resnet
from tests.agents.session.test_manager import run

Usage = namedtuple("Usage", "total used free")


def wrapped(cause: Exception) -> Exception:
    """As a library's error becomes one of ours on its way up."""
    try:
        try:
            raise cause
        except Exception as error:
            raise ModelRunFailed(reason="nothing was written") from error
    except ModelRunFailed as ours:
        return ours


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EIO, "Input/output error"),
        RuntimeError("PytorchStreamWriter failed: No space left on device"),
        type("ResourceExhaustedError", (Exception,), {})("graph.pb; No space left on device"),
        wrapped(OSError(errno.ENOSPC, "No space left on device")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_disk_that_fails_is_no_fault_of_the_work(error: Exception):
    failure = failure_of(error)
    assert (failure.code, failure.fault, failure.transient) == ("step.disk_failed", Fault.INFRASTRUCTURE, True)
    assert failure.traceback


def test_whatever_breaks_on_a_full_disk_broke_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`torch.save` says “unexpected pos 576 vs 470” then, and no more."""
    error = RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 576 vs 470")
    assert failure_of(error, tmp_path).fault is None
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**30, 2**30, 4096))
    assert failure_of(error, tmp_path).code == "step.disk_failed"


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "weights.bin"), ValueError("no"), OSError("no image")]
)
def test_a_file_that_the_work_does_not_find_is_its_own_fault(error: Exception, tmp_path: Path):
    assert failure_of(error, tmp_path).fault is None


def test_lack_of_memory_is_told_apart():
    assert failure_of(MemoryError()).fault is Fault.MEMORY


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (signal.SIGSEGV, Fault.CRASH),
        (signal.SIGABRT, Fault.CRASH),
        (signal.SIGKILL, Fault.MEMORY),
        (signal.SIGTERM, Fault.MEMORY),
    ],
)
def test_a_crash_is_told_from_a_kill(tmp_path: Path, number: int, fault: Fault):
    assert ended_by(tmp_path, number).fault is fault


def test_a_signal_on_a_full_disk_is_the_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(faults, "FULL_BYTES", 2**62)
    failure = ended_by(tmp_path, signal.SIGBUS)
    assert (failure.code, failure.fault) == ("step.disk_failed", Fault.INFRASTRUCTURE)


def ended_by(scratch: Path, number: int) -> JobFailure:
    return process._failure(Job(handler="m:f", scratch=scratch), Ending.EXITED, -number, "", Limits())


# --- the original's own failures --------------------------------------------------------------------------------------


def failing(error: Exception) -> Callable[[], object]:
    def rehearse() -> object:
        raise error

    return rehearse


@pytest.mark.parametrize("error", [ModelRunFailed(reason="index 99"), LookupError("a bug of the runtime's")])
def test_what_fails_with_the_original_as_well_is_its_own_failure(error: Exception):
    with pytest.raises(type(error)) as raised, blaming(failing(error)):
        raise ModelRunFailed(reason="the candidate's words")
    failure = failure_of(raised.value)
    assert failure.fault is Fault.ORIGINAL
    assert not failure.transient


def test_what_the_original_can_do_is_the_candidates_failure():
    with pytest.raises(ModelRunFailed) as raised, blaming(lambda: None):
        raise ModelRunFailed(reason="the candidate's words")
    assert failure_of(raised.value).fault is None


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.ENOSPC, "full"), TechniqueInvalidOutput(technique="it", reason="NaN")]
)
def test_the_original_is_not_asked_about_what_cannot_be_its_own(error: Exception):
    with pytest.raises(type(error)) as raised, blaming(failing(AssertionError("it was asked"))):
        raise error
    assert failure_of(raised.value).fault is not Fault.ORIGINAL


# --- what the manager makes of it -------------------------------------------------------------------------------------


def with_fault(session: Run, fault: Fault, *techniques: str) -> SessionState:
    """The state before the package was asked for, with every step of `techniques` lost to `fault`."""
    lost = {"status": Status.FAILED, "fault": fault, "error_code": "step.lost", "error": "It was lost."}
    steps = [
        step.model_copy(update=lost)
        if step.request.kind is StepKind.OPTIMIZE and step.request.candidate and step.request.technique in techniques
        else step
        for step in session.state.steps
        if step.request.kind is not StepKind.PACKAGE
    ]
    makers = {step.request.key for step in steps if step.status is Status.FAILED}
    return session.state.model_copy(
        update={"steps": tuple(step for step in steps if step.request.parent not in makers)}
    )


def asked(state: SessionState) -> Decision:
    return OptimizationManager().next(state)


@pytest.mark.parametrize("fault", [Fault.INFRASTRUCTURE, Fault.ORIGINAL])
def test_what_says_nothing_of_the_candidate_ends_the_session(fault: Fault):
    session = run(resnet())
    decision = asked(with_fault(session, fault, STATIC))
    assert decision.failure == ("step.lost", "It was lost.")
    assert not decision.requests


def test_a_crash_and_lack_of_memory_cost_nothing_of_the_budget():
    session = run(resnet())
    assert asked(with_fault(session, Fault.CRASH, STATIC)).failure is None
    for fault in (Fault.CRASH, Fault.MEMORY):
        state = with_fault(session, fault, STATIC)
        tried = {step.request.candidate for step in state.steps if step.status is Status.FAILED}
        budget = state.criteria.budget.model_copy(update={"candidates": len(tried)})
        narrow = state.model_copy(update={"criteria": state.criteria.model_copy(update={"budget": budget})})
        decision = asked(narrow)
        assert all(request.kind is not StepKind.PACKAGE for request in decision.requests)
        assert decision.requests or decision.failure


def test_the_original_does_not_stand_because_memory_ran_out():
    lost = run(resnet(failing={STATIC: ("step.out_of_memory", "Memory ran out.")}))
    assert lost.last.verdict is not None
    assert lost.last.verdict.outcome is Outcome.UNCHANGED
    decision = asked(with_fault(lost, Fault.MEMORY, STATIC))
    assert decision.failure is not None
    code, sentence = decision.failure
    assert code == "step.lost"
    assert "could not be tried" in sentence
    assert STATIC in sentence
    assert not asked(with_fault(lost, Fault.CRASH, STATIC)).failure
