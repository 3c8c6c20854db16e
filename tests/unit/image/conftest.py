"""pool_init lives in the image's file system, outside every source root."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "images/htcondor/rootfs/usr/lib/condorpool"))
