"""Lets the pool's own HTCondor judge a changed configuration before any pod mounts it.

The text was looked at before (`builders.knobs`); only HTCondor knows what it makes of it. What is mounted already was judged when it came,
and the very first configuration is judged by pool-init in each pod: there is nobody else yet.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import orjson

from . import naming
from .agentclient import AgentError, ConfigFinding
from .api.status import ConditionType, Reason
from .builders.config import config_files, user_files
from .kinds import CONFIG_MAP, DEPLOYMENT
from .naming import Names
from .observe import Children
from .seen import Problem

Files = Mapping[str, str]

MOST_VERDICTS = 256


Place = Callable[[str, str], str]
"""From a component and the name of one of its files to the words for where the user finds it."""
Judge = Callable[[str, Files], Awaitable[Sequence[ConfigFinding]]]
"""From a role and its files to what is wrong with them; AgentError where that cannot be told now."""


class ConfigChecker:
    """Remembers verdicts, so that a refused configuration is not judged again at every look."""

    def __init__(self) -> None:
        self._verdicts: dict[str, Sequence[ConfigFinding]] = {}

    async def approve(
        self, names: Names, children: Children, configs: Mapping[str, Files], judge: Judge, place: Place
    ) -> tuple[dict[str, Files], list[Problem]]:
        """Return the configuration that may be mounted, by component, and what is wrong with the rest.

        A component whose new files are refused, or cannot be judged now, keeps those that it mounts. An agent that did not answer is not
        asked again for the other components: a pool must not hold a worker for longer than one question takes.
        """
        judge, by = _once_silent(judge), _judging_image(names, children)
        approved: dict[str, Files] = {}
        problems: dict[str, Problem] = {}
        for component, files in configs.items():
            mounted = user_files(children.get(CONFIG_MAP, names.config(component)))
            if mounted is None or mounted == files:
                approved[component] = files
                continue
            found = await self._problems(names, component, files, judge, by, place)
            approved[component] = mounted if found else files
            problems |= {problem.message: problem for problem in found}
        return approved, list(problems.values())

    async def _problems(
        self, names: Names, component: str, files: Files, judge: Judge, by: str, place: Place
    ) -> list[Problem]:
        role = component if component in (naming.MANAGER, naming.SUBMITTER) else naming.EXECUTOR
        # groups differ in their names only: one verdict for all that have the same files
        everything = config_files(names, role, role, files)
        try:
            findings = await self._verdict(role, everything, judge, by)
        except AgentError as error:
            message = f"a change of configuration waits to be checked by the pool's HTCondor: {error}"
            return [Problem(ConditionType.CONFIG_VALID, Reason.CONFIG_UNCHECKED, message)]
        texts = [
            _text(one, place(component, one.file) if one.file else f"configuration of {component}") for one in findings
        ]
        return [Problem(ConditionType.CONFIG_VALID, Reason.CONFIG_MAP_INVALID, text) for text in texts]

    async def _verdict(self, role: str, files: Files, judge: Judge, by: str) -> Sequence[ConfigFinding]:
        key = hashlib.sha256(orjson.dumps([by, role, files], option=orjson.OPT_SORT_KEYS)).hexdigest()
        if key not in self._verdicts:
            findings = await judge(role, files)
            while len(self._verdicts) >= MOST_VERDICTS:
                del self._verdicts[next(iter(self._verdicts))]
            self._verdicts[key] = findings
        return self._verdicts[key]


def _judging_image(names: Names, children: Children) -> str:
    """Return the image whose HTCondor judges: another one may judge otherwise."""
    manager = children.get(DEPLOYMENT, names.manager)
    return "" if manager is None else str(manager["spec"]["template"]["spec"]["containers"][0]["image"])


def _once_silent(judge: Judge) -> Judge:
    """Return a judge that repeats the first failure to judge without asking."""
    silence: list[AgentError] = []

    async def ask(role: str, files: Files) -> Sequence[ConfigFinding]:
        if not silence:
            try:
                return await judge(role, files)
            except AgentError as error:
                silence.append(error)
        raise AgentError(str(silence[0]))

    return ask


def _text(finding: ConfigFinding, where: str) -> str:
    line = f", line {finding.line}" if finding.line else ""
    return f"{where}{line}: {finding.knob}{' ' if finding.knob else ''}{finding.message}"
