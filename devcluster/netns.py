"""The network namespace of the cluster and its way out: slirp4netns, as rootless Docker does it."""

import os
from pathlib import Path

from devcluster import daemons
from devcluster.errors import CommandError
from devcluster.process import Command, output, shell_words, succeeds, tail, wait_until
from devcluster.settings import Settings

DNS_ADDRESS = "10.0.2.3"
"""slirp4netns answers DNS here and asks the machine's own resolver."""

_SLIRP = "slirp4netns"


def enter(settings: Settings, command: Command) -> list[str]:
    """Return the command prefixed so that it runs in the namespace.

    ``ip netns exec`` would remount /sys and hide the cgroups; nsenter changes the network alone.
    """
    return ["nsenter", f"--net={settings.netns_path}", "--", *map(str, command)]


def exists(settings: Settings) -> bool:
    """Tell whether the name is bound to a namespace; a plain file of that name is what a reboot leaves."""
    return settings.netns_path.exists() and os.path.ismount(settings.netns_path)


def slirp_alive(settings: Settings) -> bool:
    return daemons.find(_SLIRP, settings.runtime) is not None


def create(settings: Settings) -> None:
    """Make the namespace with a working loopback and start its way out."""
    output(["ip", "netns", "add", settings.netns])
    output(enter(settings, ["ip", "link", "set", "lo", "up"]))
    command: Command = [
        "slirp4netns",
        "--configure",
        "--mtu=1500",
        "--disable-host-loopback",
        "--netns-type=path",
        settings.netns_path,
        "tap0",
    ]
    log = settings.logs / "slirp4netns.log"
    daemon = daemons.start(_SLIRP, command, runtime=settings.runtime, log=log)

    def routed() -> bool:
        return not daemon.alive() or "default" in output(enter(settings, ["ip", "route"]))

    if not wait_until(routed, timeout=10) or not daemon.alive():
        raise CommandError(
            shell_words(command),
            "no route out of the namespace",
            tail=tail(log.read_text(encoding="utf-8", errors="replace")),
            log=log,
            fix="slirp4netns needs /dev/net/tun: `modprobe tun`",
        )


def remove(settings: Settings) -> None:
    """End slirp4netns and take the name away; the kernel frees the namespace with its last process."""
    daemons.stop(_SLIRP, settings.runtime, grace=3)
    if exists(settings) and not succeeds(["ip", "netns", "delete", settings.netns]):
        output(["umount", "--lazy", settings.netns_path])
    Path(settings.netns_path).unlink(missing_ok=True)
