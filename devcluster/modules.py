"""Files of Go modules that are used at run time: kind's node files, Calico's manifests."""

import json
import os
from pathlib import Path

from devcluster.binaries import require_go
from devcluster.process import Command, output
from devcluster.settings import GO_SOURCES


def directory(module: str, version: str, source: str) -> Path:
    """Return the module's directory in Go's module cache, downloaded if need be.

    ``source`` is the module of ours whose go.sum vouches for its content.
    """
    require_go()
    command: Command = ["go", "-C", GO_SOURCES / source, "mod", "download", "-json", f"{module}@{version}"]
    text = output(command, timeout=600, env={**os.environ, "GOFLAGS": "", "GOWORK": "off"})
    return Path(json.loads(text)["Dir"])
