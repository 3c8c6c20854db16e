"""Role images with something more in them, for tests alone."""

import os
import subprocess
import sys
from pathlib import Path

from .operator import ROLE_IMAGE

TAG = "e2e"
IMAGE_SECONDS = 240.0


def repository(name: str) -> str:
    """Return the repository of the image that is made of tests/e2e/images/<name>."""
    return f"condorpool/htcondor-{name}"


def load_image(root: Path, name: str) -> None:
    """Build an image and put it into the nodes."""
    options = ["--build-arg", f"APT_OPTIONS={os.environ['APT_OPTIONS']}"] if "APT_OPTIONS" in os.environ else []
    image = f"{repository(name)}:{TAG}"
    context = f"tests/e2e/images/{name}"
    build = ["docker", "build", "--quiet", *options, "--build-arg", f"BASE={ROLE_IMAGE}", "--tag", image, context]
    for command in (build, [sys.executable, "-m", "devcluster", "load", image]):
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=IMAGE_SECONDS, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
