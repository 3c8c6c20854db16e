"""The demonstration: a cluster, the operator, a pool, and a scientist who logs in and runs a job. Again, it is fast and harmless."""

import shlex
import sys
import time
from collections.abc import Callable

from tools.console import (
    BUILD,
    RELEASE,
    SYSTEM_NAMESPACE,
    CommandFailedError,
    Console,
    exit_status,
    relative,
)
from tools.deploy import install_operator
from tools.images import build_images

NAMESPACE = "demo"
POOL = "demo"
USER = "john"
DIRECTORY = BUILD / "demo"
KEY = DIRECTORY / "id_ed25519"
SSH_CONFIG = DIRECTORY / "ssh_config"
JOB = ("manifests/samples/job/sleep.sub", "manifests/samples/job/sleep.sh")


class Session:
    """John's ssh, by a configuration file of the demonstration's own: its key, and the host keys of this very pool."""

    def __init__(self, console: Console, host: str, port: str, pool_uid: str) -> None:
        self._console = console
        SSH_CONFIG.write_text(
            f"Host {POOL}\n  HostName {host}\n  Port {port}\n  User {USER}\n"
            f"  IdentityFile {relative(KEY)}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {relative(DIRECTORY)}/known_hosts-{pool_uid}\n  StrictHostKeyChecking accept-new\n"
            "  LogLevel ERROR\n  ConnectTimeout 10\n"
        )

    def copy(self, *files: str) -> None:
        """Copy files to john's home."""
        self._console.cluster("scp", "-qF", relative(SSH_CONFIG), *files, f"{POOL}:")

    def run(self, remote: str) -> str:
        """Show a command of john's, run it, show and return its output."""
        self._console.say(f"{USER}@{POOL} $ {remote}")
        text = self.ask(remote)
        self._console.show(text)
        return text

    def ask(self, remote: str) -> str:
        """Run a command and return its output, unseen."""
        return self._console.cluster(*self.command(), "-o", "BatchMode=yes", remote, quiet=True)

    def command(self) -> list[str]:
        """Return the command line that logs in."""
        return ["ssh", "-F", relative(SSH_CONFIG), POOL]

    def answers(self) -> bool:
        """Return whether the log-in works."""
        try:
            self.ask("true")
        except CommandFailedError:
            return False
        return True


def wait_for(what: str, condition: Callable[[], bool], *, seconds: float) -> None:
    """Ask twice a second until the condition holds; CommandFailedError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CommandFailedError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.5)


def make_key(console: Console) -> None:
    """Make john's key, once."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    if not KEY.exists():
        console.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{USER}@demo", "-f", relative(KEY)])


def apply_pool(console: Console) -> None:
    """Apply namespace, Secret and pool, and wait until the pool is ready."""
    for command in (
        ["create", "namespace", NAMESPACE],
        ["create", "secret", "generic", USER, f"--from-file=authorized_keys={relative(KEY)}.pub", "-n", NAMESPACE],
    ):
        console.say(f"$ kubectl {shlex.join(command)} --dry-run=client -o yaml | kubectl apply -f -")
        manifest = console.cluster("kubectl", *command, "--dry-run=client", "-o", "yaml", quiet=True)
        console.show(console.cluster("kubectl", "apply", "-f", "-", stdin=manifest, quiet=True))
    console.cluster("kubectl", "apply", "-n", NAMESPACE, "-f", "manifests/samples/demo.yaml")
    console.cluster("kubectl", "wait", "-n", NAMESPACE, f"condorpool/{POOL}", "--for=condition=Ready", "--timeout=5m")
    console.cluster("kubectl", "get", "-n", NAMESPACE, "condorpools,pods")


def login(console: Console) -> Session:
    """Return john's session at the endpoint in the pool's status."""
    template = "{.status.submitter.ssh.endpoint} {.metadata.uid}"
    answer = console.cluster(
        *("kubectl", "get", "-n", NAMESPACE, f"condorpool/{POOL}", "-o", f"jsonpath={template}"), quiet=True
    )
    endpoint, uid = answer.split()
    host, _, port = endpoint.rpartition(":")
    console.say(f"ssh is at {endpoint}, says the pool's status")
    session = Session(console, host, port, uid)
    wait_for("ssh", session.answers, seconds=60)
    console.say(f"$ {shlex.join(session.command())}")
    return session


def run_job(session: Session) -> None:
    """Submit sleep.sub, see it run, and show what it brings back."""
    session.ask("rm -f sleep.log sleep.out sleep.err")
    session.copy(*JOB)
    submitted = session.run("condor_submit sleep.sub")
    cluster = submitted.rstrip(".\n").rpartition(" ")[2]
    wait_for("the job runs", lambda: session.ask(f"condor_q {cluster} -af JobStatus").strip() == "2", seconds=90)
    wait_for("a slot is busy", lambda: "Claimed Busy" in session.ask("condor_status -af State Activity"), seconds=60)
    session.run("condor_status")
    session.run("condor_q -nobatch")
    session.run("condor_wait -wait 180 sleep.log")
    session.run("cat sleep.out")


def farewell(console: Console, session: Session) -> None:
    """Say what is there now and what to do with it."""
    sys.stdout.write(
        f"""
The cluster stays up. Everything below goes through `python3 -m devcluster run --`, which enters its network:

  python3 -m devcluster run -- bash                             # a shell there, with kubectl and helm
  python3 -m devcluster run -- {shlex.join(session.command())}
  python3 -m devcluster run -- kubectl explain condorpool.spec.submitter
  python3 -m devcluster run -- kubectl describe -n {NAMESPACE} condorpool {POOL}
  python3 -m devcluster run -- kubectl patch -n {NAMESPACE} condorpool {POOL} --type=json \\
      -p '[{{"op": "replace", "path": "/spec/executors/0/replicas", "value": 2}}]'
  python3 -m devcluster run -- kubectl logs -n {SYSTEM_NAMESPACE} deployment/{RELEASE}

`make demo` again repeats the job; `make cluster-down` removes the cluster, `make cluster-purge` its caches too.
"""
    )
    console.say("done")


def main() -> int:
    """Return the exit status."""
    console = Console()
    console.say(
        "commands after a $ run in the cluster's network: python3 -m devcluster run -- bash gives you a shell there"
    )
    try:
        console.say("1. a cluster of three nodes with Calico")
        console.run(["python3", "-m", "devcluster", "up"])
        console.say("2. the images of the operator and of the pool's roles")
        build_images(console, load=True)
        console.say("3. the operator, by its Helm chart")
        install_operator(console)
        console.say("4. a pool, and a user who may log in")
        make_key(console)
        apply_pool(console)
        console.say("5. john logs in and runs a job")
        session = login(console)
        run_job(session)
    except CommandFailedError as error:
        return exit_status(console, error)
    farewell(console, session)
    return 0


if __name__ == "__main__":
    sys.exit(main())
