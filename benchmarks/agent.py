"""What a pool's agent takes: memory and processor time with a hundred executors and a thousand jobs.

The manager, its agent, the schedd and the jobs are real; the executors are ads that the manager's root sends to its collector, each of a
partitionable slot with a claimed child, so that nothing but the agent is busy. An agent takes what it is asked for: the operator asks
at most every 15 s while figures change and every minute at rest; a monitor scrapes every 15 s or more seldom.
"""

import asyncio
import base64
import json
import re
from typing import Any

from tools.console import Console

from .nodes import Api, kubectl, on_node, process_of, proxy, remove_namespace, until
from .process import KIB, MIB, TICK
from .report import Figure, Results

PART = "agent"
NAMESPACE = "bench-agent"
POOL = f"/apis/condorpool.dev/v1alpha1/namespaces/{NAMESPACE}/condorpools/pool"
EXECUTORS, JOBS = 100, 1000
ASKS = 10
LIMIT_MIB = 40

SPEC: dict[str, Any] = {"executors": []}
AD = """MyType = "Machine"
TargetType = "Job"
Name = "slot1@pool-cpu-{0}.pool-cpu"
Machine = "pool-cpu-{0}.pool-cpu"
MyAddress = "<10.0.0.1:9618?addrs=10.0.0.1-9618&alias=pool-cpu-{0}.pool-cpu&noUDP&sock=startd_{0}>"
StartdIpAddr = MyAddress
CondorPoolGroup = "cpu"
PartitionableSlot = true
SlotType = "Partitionable"
SlotID = 1
Cpus = 0
TotalSlotCpus = 1
State = "Unclaimed"
Activity = "Idle"
Requirements = false
ChildState = {{ "Claimed" }}
ChildActivity = {{ "Busy" }}
ChildCpus = {{ 1 }}
"""
SUBMIT = f"""
cd $(mktemp -d) && printf '%s\\n' executable=/bin/true requirements=false 'queue {JOBS}' >j.sub && condor_submit -terse j.sub
"""
ADVERTISE = "cat >/tmp/ads && condor_advertise -multiple UPDATE_STARTD_AD /tmp/ads"
ASK = """
import json, ssl, sys, time, urllib.request
token, path, times = json.load(sys.stdin)
context = ssl._create_unverified_context()
for _ in range(times):
    request = urllib.request.Request("https://127.0.0.1:9619" + path, headers={"Authorization": "Bearer " + token})
    with urllib.request.urlopen(request, context=context, timeout=20) as answer:
        body = answer.read().decode()
    time.sleep(6 if times > 1 else 0)  # longer than the agent keeps an answer
print(body)
"""


async def run(console: Console, results: Results) -> None:
    """Measure."""
    with proxy() as connect:
        api = connect()
        kubectl("create", "namespace", NAMESPACE)
        try:
            pool = {"apiVersion": "condorpool.dev/v1alpha1", "kind": "CondorPool", "metadata": {"name": "pool"}}
            kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(pool | {"spec": SPEC}))
            until(lambda: _is_ready(api.get(POOL)), "the pool to be Ready", 300)
            place = _Place(api)
            results.add(Figure(PART, "an empty pool: proportional share", "MiB", (place.memory()[0] / MIB,)))
            kubectl(
                "exec",
                "-n",
                NAMESPACE,
                "pool-submitter-0",
                "-c",
                "condor",
                "--",
                "su",
                "nobody",
                "-s",
                "/bin/sh",
                "-c",
                SUBMIT,
            )
            ads = "\n".join(AD.format(number) for number in range(EXECUTORS))
            place.run(ADVERTISE, ads)
            until(place.is_told, f"{EXECUTORS} slots and {JOBS} jobs in the state", 120)
            console.say(f"asking {ASKS} times for the state, and as often for the metrics")
            for path, what in (("/v1/state", "the state"), ("/metrics", "the metrics")):
                results.add(*await asyncio.to_thread(_asked, place, path, what))
            share, resident = place.memory()
            note = f"{EXECUTORS} executors, {JOBS} jobs"
            results.add(
                Figure(PART, "proportional share of memory", "MiB", (share / MIB,), LIMIT_MIB, note=note),
                Figure(PART, "resident memory", "MiB", (resident / MIB,), note=note),
            )
        finally:
            remove_namespace(api, NAMESPACE)


def _asked(place: "_Place", path: str, what: str) -> list[Figure]:
    before = place.processor_seconds()
    body = place.ask(path, ASKS)
    milliseconds = 1000 * (place.processor_seconds() - before) / ASKS
    return [
        Figure(PART, f"{what}: processor time of an answer, the tool's included", "ms", (milliseconds,)),
        Figure(PART, f"{what}: asked every 15 s", "ms a minute", (4 * milliseconds,)),
        Figure(PART, f"{what}: size", "KiB", (len(body) / KIB,)),
    ]


def _is_ready(pool: Any) -> bool | None:
    conditions = pool.get("status", {}).get("conditions", ())
    return True if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions) else None


class _Place:
    """The manager's pod."""

    def __init__(self, api: Api) -> None:
        selector = "labelSelector=condorpool.dev/component%3Dmanager"
        (pod,) = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?{selector}")["items"]
        self._name, self._node = pod["metadata"]["name"], pod["spec"]["nodeName"]
        self._process = process_of(pod, "agent")
        data = api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/pool-agent")["data"]
        self._token = base64.b64decode(data["token"]).decode()

    def run(self, script: str, stdin: str) -> str:
        """Run a script beside the daemons."""
        return self._exec("sh", "-c", script, stdin=stdin)

    def ask(self, path: str, times: int = 1) -> str:
        """Ask the agent so many times; return its last answer."""
        return self._exec("python3", "-c", ASK, stdin=json.dumps([self._token, path, times]))

    def is_told(self) -> bool | None:
        """Return whether the state has all executors and all jobs, or None."""
        state = json.loads(self.ask("/v1/state"))
        return True if (state["slots"]["claimed"], state["jobs"]["idle"]) == (EXECUTORS, JOBS) else None

    def memory(self) -> tuple[int, int]:
        """Return the agent's bytes of memory: its proportional share, and all that is resident."""
        text = on_node(self._node, "cat", f"/proc/{self._process}/smaps_rollup")
        share, resident = (re.search(rf"^{name}: +(\d+)", text, re.MULTILINE) for name in ("Pss", "Rss"))
        if share is None or resident is None:
            raise RuntimeError(f"no memory in {text!r}")
        return KIB * int(share[1]), KIB * int(resident[1])

    def processor_seconds(self) -> float:
        """Return the processor time of the agent and of the tools that it has run."""
        text = on_node(self._node, "cat", f"/proc/{self._process}/stat")
        return sum(int(ticks) for ticks in text.rpartition(")")[2].split()[11:15]) * TICK

    def _exec(self, *command: str, stdin: str) -> str:
        target = ("exec", "-n", NAMESPACE, "-i", self._name, "-c", "condor", "--")
        return kubectl(*target, *command, stdin=stdin)
