"""`pool-init manager|submitter|executor|sshd`."""

import os
import sys

from .layout import Layout
from .logs import leave_message, say
from .loop import Loop
from .settings import SettingsError, child_environment, read_settings
from .supervise import Supervisor


def main() -> int:
    """Exit code of the container; 2 for arguments or an environment outside the image contract."""
    try:
        settings = read_settings(sys.argv[1:], os.environ)
    except SettingsError as error:
        say(str(error))
        return 2
    os.umask(0o022)
    layout = Layout()
    loop = Loop(failed=lambda error: say(f"failed, going on: {error}"))
    try:
        return Supervisor(settings, layout, child_environment(os.environ), loop).run()
    except OSError as error:
        say(f"cannot start: {error}")
        leave_message(layout.termination_log, f"cannot start: {error}")
        return 1
