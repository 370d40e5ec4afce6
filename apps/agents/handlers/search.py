"""The jobs of a search in steps: the supernet, and portions of its trials."""

from __future__ import annotations

from apps.agents.contracts.job import JobResult, OutputFile, TrialMade
from apps.agents.contracts.job_arguments import OptimizeArguments, TrialsArguments
from apps.agents.contracts.searching import SUPERNET, Searched
from apps.agents.handlers.optimize import assigned
from apps.agents.sandbox.child import JobContext
from apps.agents.techniques.architecture.stages import SearchesInSteps
from apps.agents.techniques.base import agent_for, spec_of


def train_supernet(context: JobContext) -> JobResult:
    """Train the supernet of a search. The result's body is a `SupernetMade`, and its file with the role `artifact` is
    what trials and the training of the network found start from.

    The inputs and the arguments are those of an optimize step.
    """
    arguments = OptimizeArguments.of(context.job)
    file = context.out / SUPERNET
    with assigned(context, arguments) as assignment:
        made = _agent(arguments).train_supernet(assignment, context, file)
    kept = OutputFile(role="artifact", path=file.relative_to(context.job.scratch).as_posix(), filename=SUPERNET)
    return JobResult(body=made.model_dump(mode="json"), files=(kept,))


def make_trials(context: JobContext) -> JobResult:
    """Make a portion of a search's trials, each of which is told as soon as it is scored. The result's body is a
    `PortionMade`.

    The inputs are those of an optimize step, and the supernet. The arguments are `TrialsArguments`.
    """
    arguments = TrialsArguments.of(context.job)
    agent = _agent(arguments).going_on_from(Searched(file=context.job.inputs[SUPERNET], so_far=arguments.so_far))
    with assigned(context, arguments) as assignment:
        made = agent.make_trials(
            assignment, context, arguments.portion, arguments.made, lambda card: context.send(TrialMade(card=card))
        )
    return JobResult(body=made.model_dump(mode="json"))


def _agent(arguments: OptimizeArguments) -> SearchesInSteps:
    spec, _ = spec_of(arguments.technique, arguments.parameters)
    agent = agent_for(spec)
    if not isinstance(agent, SearchesInSteps):
        raise TypeError(f"{spec.name} is said to search in stages, but its agent does not")
    return agent
