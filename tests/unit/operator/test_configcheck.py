"""A changed configuration is mounted when the pool's HTCondor has nothing against it, and what is mounted stays until then."""

from collections.abc import Mapping, Sequence

import pytest

from condorpool_operator.agentclient import AgentError
from condorpool_operator.agentclient import ConfigFinding as Finding
from condorpool_operator.api.status import Reason
from condorpool_operator.configcheck import ConfigChecker
from condorpool_operator.observe import Children
from condorpool_operator.references import place_of

from .factories import make_context

SPEC = {
    "config": {"configMapRefs": [{"name": "wide"}]},
    "executors": [{"name": "cpu", "config": {"configMapRefs": [{"name": "cpu-knobs"}]}}, {"name": "gpu"}],
}
CONTEXT = make_context(SPEC)
COMPONENTS = ("manager", "submitter", "cpu", "gpu")
NEW, OLD = {"50-00-wide-a.conf": "NEW = 1\n"}, {"50-00-wide-a.conf": "OLD = 1\n"}
BAD = Finding("50-00-wide-a.conf", 1, "NEW", "must be a number, not 'x'")


class Judge:
    """Gives one verdict for a role, and notes what it was asked."""

    def __init__(self, verdicts: Mapping[str, Sequence[Finding]] | None = None, *, absent: bool = False) -> None:
        self.verdicts = verdicts or {}
        self.absent = absent
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    async def __call__(self, role: str, files: Mapping[str, str]) -> Sequence[Finding]:
        self.asked.append((role, files))
        if self.absent:
            raise AgentError("the agent does not answer")
        return self.verdicts.get(role, ())


def mounting(files: Mapping[str, str], *components: str) -> Children:
    return Children(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"demo-{component}-config", "labels": {}},
            "data": {"10-defaults.conf": "A = 1\n", **files, "90-operator.conf": "B = 1\n"},
        }
        for component in components
    )


async def approve(
    judge: Judge, children: Children, configs: Mapping[str, Mapping[str, str]], checker: ConfigChecker | None = None
) -> tuple[dict[str, Mapping[str, str]], list[tuple[Reason, str]]]:
    def place(component: str, file: str) -> str:
        return place_of(CONTEXT.pool, component, file)

    checker = checker or ConfigChecker()
    approved, problems = await checker.approve(CONTEXT.names, children, configs, judge, place)
    return approved, [(problem.reason, problem.message) for problem in problems]


async def test_the_first_configuration_and_one_that_is_mounted_are_not_judged() -> None:
    judge = Judge()
    configs = dict.fromkeys(COMPONENTS, NEW)
    assert await approve(judge, mounting(NEW, "manager"), configs) == (configs, [])
    assert judge.asked == []


async def test_a_change_is_judged_with_all_files_of_the_role() -> None:
    judge = Judge()
    approved, problems = await approve(judge, mounting(OLD, "manager"), {"manager": NEW})
    assert (approved, problems) == ({"manager": NEW}, [])
    ((role, files),) = judge.asked
    assert role == "manager"
    assert sorted(files) == ["10-defaults.conf", "50-00-wide-a.conf", "90-operator.conf"]
    assert "DAEMON_LIST" in files["90-operator.conf"]


async def test_groups_with_the_same_files_share_a_verdict() -> None:
    judge = Judge()
    await approve(judge, mounting(OLD, "cpu", "gpu"), {"cpu": NEW, "gpu": NEW})
    assert [role for role, _ in judge.asked] == ["executor"]


async def test_what_is_refused_is_told_with_its_place_and_what_is_mounted_stays() -> None:
    judge = Judge({"manager": [BAD]})
    approved, problems = await approve(judge, mounting(OLD, "manager", "submitter"), {"manager": NEW, "submitter": NEW})
    assert approved == {"manager": OLD, "submitter": NEW}
    said = "spec.config.configMapRefs[wide]: key a.conf, line 1: NEW must be a number, not 'x'"
    assert problems == [(Reason.CONFIG_MAP_INVALID, said)]


async def test_what_several_roles_have_against_a_file_is_told_once() -> None:
    judge = Judge({"manager": [BAD], "executor": [BAD]})
    _, problems = await approve(judge, mounting(OLD, "manager", "cpu"), {"manager": NEW, "cpu": NEW})
    assert len(problems) == 1


async def test_a_file_of_a_group_is_found_by_its_own_reference() -> None:
    mine = {"50-01-cpu-knobs-b.conf": "NEW = x\n"}
    judge = Judge({"executor": [Finding("50-01-cpu-knobs-b.conf", 1, "NEW", "is wrong")]})
    _, problems = await approve(judge, mounting(OLD, "cpu"), {"cpu": mine})
    assert problems[0][1] == "spec.executors[cpu].config.configMapRefs[cpu-knobs]: key b.conf, line 1: NEW is wrong"


async def test_a_verdict_is_remembered_and_silence_is_not() -> None:
    checker, judge = ConfigChecker(), Judge({"manager": [BAD]}, absent=True)
    live = mounting(OLD, "manager")
    approved, problems = await approve(judge, live, {"manager": NEW}, checker)
    assert approved == {"manager": OLD}
    assert problems[0][0] is Reason.CONFIG_UNCHECKED
    judge.absent = False
    for _ in range(2):
        _, problems = await approve(judge, live, {"manager": NEW}, checker)
        assert problems[0][0] is Reason.CONFIG_MAP_INVALID
    assert len(judge.asked) == 2


async def test_who_did_not_answer_is_not_asked_for_every_component() -> None:
    judge = Judge(absent=True)
    approved, problems = await approve(judge, mounting(OLD, *COMPONENTS), dict.fromkeys(COMPONENTS, NEW))
    assert approved == dict.fromkeys(COMPONENTS, OLD)
    assert [reason for reason, _ in problems] == [Reason.CONFIG_UNCHECKED]
    assert len(judge.asked) == 1


@pytest.mark.parametrize("file", ["", "90-operator.conf"])
async def test_a_finding_without_a_file_of_the_users_is_told_too(file: str) -> None:
    judge = Judge({"manager": [Finding(file, 0, "", "HTCondor finds no end reading this")]})
    _, problems = await approve(judge, mounting(OLD, "manager"), {"manager": NEW})
    assert problems[0][1] == f"{file or 'configuration of manager'}: HTCondor finds no end reading this"


async def test_another_image_judges_anew() -> None:
    checker, strict, mild = ConfigChecker(), Judge({"manager": [BAD]}), Judge()
    for image, judge, refused in (("condor:24", strict, True), ("condor:24", mild, True), ("condor:25", mild, False)):
        children = mounting(OLD, "manager")
        template = {"spec": {"containers": [{"image": image}]}}
        kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
        children.put({**kind, "metadata": {"name": "demo-manager"}, "spec": {"template": template}})
        _, problems = await approve(judge, children, {"manager": NEW}, checker)
        assert bool(problems) is refused
