"""Executor groups come, grow, shrink, change and go."""

from tests.e2e.support.container import signal_container
from tests.e2e.support.jobs import EVICTED, EXECUTING, shell_job
from tests.e2e.support.kubectl import Object
from tests.e2e.support.manifests import config_map, group, refs
from tests.e2e.support.pool import Pool, describe, is_ready
from tests.e2e.support.waiting import NotYetError, wait_for

SCALE_SECONDS = 120.0


def settle(pool: Pool, *groups: Object) -> None:
    """Apply these executor groups and wait until the pool is ready with them."""
    pool.apply({"executors": list(groups)})
    pool.wait_condition("Ready", "True", SCALE_SECONDS)


def status_of(pool: Pool) -> dict[str, tuple[int, int]]:
    """Return (desired, ready) of every group in the status."""
    return {item["name"]: (item["desired"], item["ready"]) for item in pool.live()["status"]["executors"]}


def test_executors_from_one_to_three_to_two(elastic_pool: Pool) -> None:
    names = [elastic_pool.executor("cpu", ordinal) for ordinal in range(3)]
    elastic_pool.wait_executors(set(names[:1]), 60)

    settle(elastic_pool, group("cpu", 3, maxUnavailable=1))
    assert status_of(elastic_pool) == {"cpu": (3, 3)}
    elastic_pool.wait_executors(set(names), 60)

    settle(elastic_pool, group("cpu", 2, maxUnavailable=1))
    assert status_of(elastic_pool) == {"cpu": (2, 2)}
    elastic_pool.wait_executors(set(names[:2]), 60)


def test_a_second_group_comes_and_goes(elastic_pool: Pool) -> None:
    cpu = group("cpu", 2, maxUnavailable=1)
    before = _objects(elastic_pool)

    settle(elastic_pool, cpu, group("big", 1))
    assert status_of(elastic_pool) == {"big": (1, 1), "cpu": (2, 2)}
    elastic_pool.wait_executors({elastic_pool.executor(*key) for key in (("cpu", 0), ("cpu", 1), ("big", 0))}, 60)
    added = _objects(elastic_pool) - before
    expected = {("StatefulSet", "big"), ("Service", "big"), ("PodDisruptionBudget", "big"), ("ConfigMap", "big-config")}
    assert added == {(kind, f"elastic-{name}") for kind, name in expected}

    settle(elastic_pool, cpu)
    assert status_of(elastic_pool) == {"cpu": (2, 2)}

    def gone() -> None:
        left = _objects(elastic_pool) - before
        pods = elastic_pool.pods("executor", "big")
        if left or pods:
            raise NotYetError(f"{left}, {describe(pods)}")

    wait_for("the objects of the removed group to go", gone, 60)
    elastic_pool.wait_executors({elastic_pool.executor("cpu", 0), elastic_pool.executor("cpu", 1)}, 60)


def test_outdated_executors_are_replaced_one_at_a_time_and_lose_no_job(elastic_pool: Pool) -> None:
    cpu = group("cpu", 2, maxUnavailable=1)
    settle(elastic_pool, cpu)
    last = elastic_pool.executor("cpu", 1)
    old = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in elastic_pool.pods("executor")}
    job = elastic_pool.submit(shell_job("sleep 25; echo survived", requirements=f'regexp("^{last}[.]", Machine)'))
    assert job.wait_running() == last

    elastic_pool.apply({"executors": [cpu | {"podLabels": {"e2e": "changed"}}]})

    away: list[str] = []

    def replaced() -> None:
        pods = elastic_pool.pods("executor")
        serving = [pod for pod in pods if is_ready(pod)]
        if len(serving) < 1:
            away.append(describe(pods))
        new = [pod for pod in serving if pod["metadata"]["uid"] != old.get(pod["metadata"]["name"])]
        if len(new) < 2:
            raise NotYetError(describe(pods))

    wait_for("both executors to be replaced", replaced, 180)
    assert not away, away
    assert {pod["metadata"]["labels"].get("e2e") for pod in elastic_pool.pods("executor")} == {"changed"}
    assert job.wait_done(30) == "survived\n"
    events = job.events()
    assert events.count(EXECUTING) == 1, events
    assert EVICTED not in events
    elastic_pool.wait_condition("Ready", "True", 60)


def test_no_job_is_matched_to_an_executor_that_died_without_a_word(elastic_pool: Pool) -> None:
    hasty = "UPDATE_INTERVAL = 4\n"
    elastic_pool.kubectl.apply(config_map("hasty", knobs=hasty))
    cpu = group("cpu", 1, maxUnavailable=1)
    settle(elastic_pool, cpu, group("frail", 1, config=refs("hasty")))
    dead = elastic_pool.executor("frail")
    elastic_pool.wait_executors({elastic_pool.executor("cpu"), dead}, 60)
    pod = elastic_pool.kubectl.must_get("pod", dead)

    signal_container(pod, "STOP")
    elastic_pool.kubectl("delete", "pod", dead, "--wait=false")
    elastic_pool.apply({"executors": [cpu]})
    elastic_pool.kubectl("wait", "--for=delete", f"statefulset/{elastic_pool.name}-frail", "--timeout=30s")
    signal_container(pod, "KILL")
    elastic_pool.kubectl("wait", "--for=delete", f"pod/{dead}", "--timeout=60s", seconds=70)
    assert dead in elastic_pool.executors_in_collector()
    there = f'regexp("^{dead}[.]", Machine)'

    def silent() -> None:
        silence = ("condor_status", "-constraint", there, "-af", "time() - LastHeardFrom")
        seconds = elastic_pool.run(elastic_pool.manager, *silence)
        if int(seconds.split()[0]) <= 10:
            raise NotYetError(f"silent for {seconds} s")

    wait_for("two updates and a half to be missing", silent, 60)
    job = elastic_pool.submit(shell_job("true", requirements=there))

    def refused() -> None:
        if not job.attribute("LastRejMatchTime").isdigit():
            raise NotYetError(f"matched: {job.attribute('NumJobMatches')}, status {job.attribute('JobStatus')}")

    wait_for("the negotiator to find no executor for it", refused, 30)
    assert job.attribute("NumJobMatches") == "undefined"
    elastic_pool.clear_queue()


def test_an_executor_whose_daemons_were_killed_takes_its_ads_along(elastic_pool: Pool) -> None:
    cpu = group("cpu", 1, maxUnavailable=1)
    settle(elastic_pool, cpu, group("frail", 1, drainTimeout="1s"))
    dead = elastic_pool.executor("frail")
    elastic_pool.wait_executors({elastic_pool.executor("cpu"), dead}, 60)
    elastic_pool.run(dead, "pkill", "-STOP", "condor_startd")

    elastic_pool.apply({"executors": [cpu]})

    elastic_pool.kubectl("wait", "--for=delete", f"pod/{dead}", "--timeout=90s", seconds=100)
    assert elastic_pool.executors_in_collector() == {elastic_pool.executor("cpu")}


def _objects(pool: Pool) -> set[tuple[str, str]]:
    kinds = "secrets,configmaps,services,poddisruptionbudgets,deployments,statefulsets"
    return {(obj["kind"], obj["metadata"]["name"]) for obj in pool.objects(kinds)}
