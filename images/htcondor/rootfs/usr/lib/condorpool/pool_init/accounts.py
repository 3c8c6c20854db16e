"""Accounts of the execution slots: one per slot, so that jobs side by side cannot touch each other."""

import os

from .layout import Layout

# above every user's id, and inside the 65536 ids of a pod with its own user namespace
FIRST_ID = 60000
# dynamic slots are numbered from 1 and numbers are used again; a job may ask for no CPU, so this is not the CPU count
SLOTS = 1024


def install_slot_accounts(layout: Layout) -> None:
    """Write slot1_1, slot1_2, ... for libnss-extrausers, with no shell, no home and no password."""
    os.makedirs(layout.extrausers, mode=0o755, exist_ok=True)
    numbers = range(1, SLOTS + 1)
    passwd = [f"slot1_{n}:x:{FIRST_ID + n}:{FIRST_ID + n}::/nonexistent:/usr/sbin/nologin\n" for n in numbers]
    group = [f"slot1_{n}:x:{FIRST_ID + n}:\n" for n in numbers]
    for name, lines in (("group", group), ("passwd", passwd)):
        with open(os.path.join(layout.extrausers, name), "w", encoding="ascii") as file:
            file.writelines(lines)
