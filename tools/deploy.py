"""Puts what is in the working tree into the dev cluster: builds and loads what changed, upgrades the operator's release.

The image's id is an annotation of the operator's pod, so a new image restarts the operator and an unchanged one does not.
"""

import sys

from tools.console import RELEASE, SYSTEM_NAMESPACE, CommandFailedError, Console, exit_status
from tools.images import OPERATOR, build_images


def install_operator(console: Console) -> None:
    """Install or upgrade the operator by its chart and wait until it is available."""
    image_id = console.cluster("docker", "image", "inspect", "--format", "{{.Id}}", OPERATOR, quiet=True).strip()
    console.cluster(
        *("helm", "upgrade", "--install", RELEASE, "charts/condorpool-operator"),
        *(
            "--namespace",
            SYSTEM_NAMESPACE,
            "--create-namespace",
            "--wait",
            "--timeout",
            "3m",
            "--hide-notes",
            "--take-ownership",
            "--force-conflicts",
        ),
        *("--set-string", f"podAnnotations.image-id={image_id.removeprefix('sha256:')[:12]}"),
    )


def main() -> int:
    """Return the exit status."""
    console = Console()
    try:
        build_images(console, load=True)
        install_operator(console)
        console.cluster("kubectl", "--namespace", SYSTEM_NAMESPACE, "get", "pods")
    except CommandFailedError as error:
        return exit_status(console, error)
    console.say("the operator runs this working tree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
