"""Which candidates the name in an edit means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apps.agents.contracts.chain import Chain, key_of
from apps.agents.contracts.plan_edits import NamedLink, plain
from apps.agents.techniques.catalogue import Family, TechniqueSpec


def fits(
    name: Sequence[NamedLink],
    candidate: Sequence[NamedLink],
    steps: Chain,
    specs: Mapping[str, TechniqueSpec],
    *,
    loosely: bool = False,
) -> bool:
    """Whether `name` means the candidate with the full name `candidate` and the chain `steps`.

    Parameters that `name` does not contain may have any value. It may contain preparations and leave out exports at the
    front. `loosely`: lists of operators and layers do not count.
    """
    prepared = {link.technique for link in steps if link.optional}
    named = [link for link in name if link.technique not in prepared]
    links = list(candidate)
    while len(links) > max(1, len(named)) and _exports(links[0], specs):
        links = links[1:]
    return len(named) == len(links) and all(
        _same(one, other, specs, loosely) for one, other in zip(named, links, strict=True)
    )


def _exports(link: NamedLink, specs: Mapping[str, TechniqueSpec]) -> bool:
    spec = specs.get(link.technique)
    return spec is not None and spec.family is Family.EXPORT


def _same(named: NamedLink, link: NamedLink, specs: Mapping[str, TechniqueSpec], loosely: bool) -> bool:
    if named.technique != link.technique:
        return False
    spec = specs.get(named.technique)
    lists = {one.name for one in spec.parameters if one.kind == "names"} if spec and loosely else set()
    wanted, has = plain(named.parameters), plain(link.parameters)
    return all(name in lists or (name in has and has[name] == value) for name, value in wanted.items())


def same_chain(one: Chain, other: Chain) -> bool:
    """Whether two chains make the same, prepared or not."""
    return key_of(link for link in one if not link.optional) == key_of(link for link in other if not link.optional)


def misfits(name: Sequence[NamedLink], specs: Mapping[str, TechniqueSpec]) -> str | None:
    """Why the techniques or parameters of a name are not valid, in a sentence; `None` if they are."""
    for link in name:
        spec = specs.get(link.technique)
        if spec is None:
            return f"The technique {link.technique} is not installed here."
        try:
            spec.resolve(link.parameters)
        except ValueError as error:
            return f"{error}."
    return None
