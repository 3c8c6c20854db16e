"""Builds the two images in the dev cluster's Docker and, with --load, puts them into its nodes: only what changed.

The wheels of the operator's image are fetched here, outside the build, by the hashes in requirements/runtime.txt: a build behind a
proxy whose certificate only this machine knows can use apt and nothing else.
"""

import argparse
import hashlib
import os
import platform
import shutil
import sys
from pathlib import Path

from tools.console import BUILD, ROOT, CommandFailedError, Console, exit_status, relative

OPERATOR = "condorpool/operator:dev"
HTCONDOR = "condorpool/htcondor:dev"

CONTEXT = BUILD / "operator"
ROLE_CONTEXT = BUILD / "htcondor"
LOCK = ROOT / "requirements" / "runtime.txt"
UV = ROOT / ".venv" / "bin" / "uv"


def stage_wheels(console: Console) -> None:
    """Unpack the locked wheels under the build context, unless that lock's are there already."""
    stamp, digest = CONTEXT / "wheels.sha256", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    target = CONTEXT / "site-packages"
    if target.is_dir() and stamp.is_file() and stamp.read_text() == digest:
        return
    shutil.rmtree(target, ignore_errors=True)
    console.run(
        [
            *(str(UV), "pip", "install", "--quiet", "--target", str(target), "--link-mode", "copy"),
            *("--python-version", "3.13", "--python-platform", f"{platform.machine()}-manylinux_2_28"),
            *("--only-binary", ":all:", "--require-hashes", "--no-deps", "--requirement", str(LOCK)),
        ]
    )
    shutil.rmtree(target / "bin")
    stamp.write_text(digest)


def stage_code() -> None:
    """Copy the operator's package into its build context, and the agent's into that of the role image."""
    _copy(ROOT / "operator" / "condorpool_operator", CONTEXT / "condorpool_operator")
    _copy(ROOT / "images" / "htcondor", ROLE_CONTEXT)
    _copy(ROOT / "operator" / "condorpool_agent", ROLE_CONTEXT / "condorpool_agent")


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))


def build(console: Console, tag: str, dockerfile: Path, context: Path) -> None:
    """Build an image; Docker's cache makes an unchanged one a matter of seconds. APT_OPTIONS goes through to apt."""
    arguments = ["--build-arg", f"APT_OPTIONS={os.environ['APT_OPTIONS']}"] if "APT_OPTIONS" in os.environ else []
    docker = ["docker", "build", "--quiet", *arguments, "--tag", tag, "--file", relative(dockerfile), relative(context)]
    console.cluster(*docker)


def build_images(console: Console, *, load: bool) -> None:
    """Build both images and, if asked to, load them."""
    stage_code()
    build(console, HTCONDOR, ROOT / "images/htcondor/Dockerfile", ROLE_CONTEXT)
    stage_wheels(console)
    build(console, OPERATOR, ROOT / "images/operator/Dockerfile", CONTEXT)
    if load:
        console.run([sys.executable, "-m", "devcluster", "load", OPERATOR, HTCONDOR])


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.images", description=__doc__)
    parser.add_argument("--load", action="store_true", help="put the images into the nodes of the dev cluster")
    arguments, console = parser.parse_args(), Console()
    try:
        build_images(console, load=arguments.load)
    except CommandFailedError as error:
        return exit_status(console, error)
    console.say("images are ready")
    return 0


if __name__ == "__main__":
    sys.exit(main())
