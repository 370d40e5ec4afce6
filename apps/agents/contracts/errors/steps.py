"""Steps that ended for a reason outside the work itself."""

from __future__ import annotations

from apps.errors import UserError


class StepOutOfMemory(UserError):
    code = "step.out_of_memory"
    sentence = "The step ran out of memory: {reason}."


class StepDiskFailed(UserError):
    code = "step.disk_failed"
    sentence = (
        "The step could not write on its worker: {reason}. Nothing is lost: resume the session once there is room."
    )


class StepTimedOut(UserError):
    code = "step.timed_out"
    sentence = "The step took longer than the {limit_s:,.0f} s allowed, and was stopped."


class StepDeviceMemoryTaken(UserError):
    code = "step.device_memory_taken"
    sentence = (
        "The step needs {needed} of the memory of its worker's {device}, and other programs leave {free}. Resume the"
        " session once the operators have stopped them, or started a worker on a device of its own."
    )


class StepKilled(UserError):
    code = "step.killed"
    sentence = "The step's process was ended by {signal}: a library crashed, or the machine ran out of memory."


class StepSandboxUnavailable(UserError):
    code = "step.sandbox_unavailable"
    sentence = (
        "This worker cannot close its steps in: {reason}. Nothing of the upload was opened. Resume the session once the"
        " operators have changed the machine or its LATHE_SANDBOX."
    )


class StepFileTooLarge(UserError):
    code = "step.file_too_large"
    sentence = "The step wrote a file of more than the {limit_mib:,.0f} MiB that one file of a step may have here."


class StepTooManyProcesses(UserError):
    code = "step.too_many_processes"
    sentence = "The step started more than the {limit} processes that a step may have, and was stopped."


class StepCoresUnavailable(UserError):
    code = "step.cores_unavailable"
    sentence = (
        "This worker's LATHE_CORES is {cores!r}, which is not valid: {why} Resume the session once the operators have"
        " changed it."
    )
