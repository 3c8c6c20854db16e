"""Command line: ``python3 -m devcluster COMMAND``. Results go to stdout, progress and errors to stderr."""

import argparse
import sys
from collections.abc import Sequence

from devcluster import binaries, lifecycle, load, shell, state, status
from devcluster.cache import locked
from devcluster.errors import DevClusterError
from devcluster.progress import Progress
from devcluster.settings import Settings
from devcluster.versions import API_TEST_NAMES, BINARY_NAMES


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python3 -m devcluster",
        description="A multi-node kind cluster with Calico, with or without a container registry.",
        epilog="Environment: CONDORPOOL_CLUSTER names it (default condorpool), CONDORPOOL_CACHE is its cache.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="bring the cluster up; nothing to do when it is healthy")
    up.add_argument("--images", choices=["auto", "pull", "build"], default="auto", help="where images come from")
    up.add_argument("--workers", type=int, default=2, help="worker nodes beside the control plane (default 2)")
    commands.add_parser("down", help="remove the cluster and what was started for it; keep the cache")
    commands.add_parser("purge", help="down, and remove the cache")
    run = commands.add_parser("run", help="run a command against the cluster: run -- CMD ...")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    images = commands.add_parser("load", help="put Docker images into all nodes")
    images.add_argument("images", nargs="+", metavar="IMAGE")
    programs = commands.add_parser("binaries", help="build programs for this machine and print their directory")
    programs.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BINARY_NAMES)}")
    commands.add_parser("status", help="show what is up, where, and how to use it")
    return top


def execute(arguments: argparse.Namespace, settings: Settings, progress: Progress) -> None:
    """Carry out one command."""
    match arguments.command:
        case "run":
            words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
            if not words:
                raise DevClusterError("run needs a command", fix="python3 -m devcluster run -- kubectl get nodes")
            current = state.load(settings)
            if current is None:
                raise DevClusterError("the dev cluster is not up", fix="python3 -m devcluster up")
            shell.replace_by(words, settings, current.mode)
        case "binaries":
            print(binaries.link_directory(arguments.names or API_TEST_NAMES, settings, progress))
        case "load":
            load.load(arguments.images, settings, progress)
        case "status":
            print(status.report(settings))
        case _:
            with locked(settings.lock, lambda: progress.say("waiting for another devcluster command to end")):
                _change(arguments, settings, progress)


def _change(arguments: argparse.Namespace, settings: Settings, progress: Progress) -> None:
    if arguments.command == "up":
        lifecycle.up(settings, progress, images=arguments.images, workers=arguments.workers)
    elif arguments.command == "down":
        lifecycle.down(settings, progress)
    else:
        lifecycle.purge(settings, progress)


def main(words: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, or 1 after a failure that is told on stderr."""
    arguments = parser().parse_args(words)
    try:
        execute(arguments, Settings.from_environment(), Progress())
    except DevClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.fix:
            print(f"fix: {error.fix}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `python3 -m devcluster up` continues where it stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
