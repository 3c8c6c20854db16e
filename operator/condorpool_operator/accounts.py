"""The accounts of a pool's users: stable UIDs, and password hashes that are kept while they hold."""

import asyncio
import hashlib
import secrets
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import bcrypt

from .builders.context import Account

FIRST_UID = 10_000
UID_COUNT = 50_000
HASH_ROUNDS = 12


@dataclass(frozen=True)
class Login:
    """What a user may log in with; `keep` leaves his entry in the database as it is."""

    name: str
    authorized_keys: str | None = None
    password: str | None = None
    keep: bool = False

    def __repr__(self) -> str:
        return f"Login({self.name})"


class PasswordHasher:
    """Hashes and checks passwords off the event loop; remembers by keyed digests which pairs hold, no password in clear."""

    def __init__(self, rounds: int = HASH_ROUNDS) -> None:
        self._rounds = rounds
        self._key = secrets.token_bytes(32)
        self._known: dict[str, bytes] = {}

    async def hash(self, password: str, stored: str | None) -> str:
        """Return the stored hash where it still verifies, else a new one."""
        digest = hashlib.blake2b(password.encode(), key=self._key).digest()
        if stored is not None and self._known.get(stored) == digest:
            return stored
        if stored is None or not await asyncio.to_thread(_verifies, password, stored):
            stored = (
                await asyncio.to_thread(bcrypt.hashpw, password.encode(), bcrypt.gensalt(self._rounds, b"2b"))
            ).decode()
        self._known[stored] = digest
        return stored


def _verifies(password: str, stored: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), stored.encode())
    except ValueError:
        return False


def parse_database(files: Mapping[str, bytes]) -> dict[str, Account]:
    """Return the accounts in the files of a user database, by name."""
    hashes = dict(line.split(":")[:2] for line in files.get("shadow", b"").decode().splitlines())
    accounts = {}
    for line in files.get("passwd", b"").decode().splitlines():
        name, _, uid, *_rest = line.split(":")
        keys = files.get(f"authorized_keys.{name}")
        password_hash = hashes.get(name, "*")
        accounts[name] = Account(
            name, int(uid), keys.decode() if keys is not None else None, None if password_hash == "*" else password_hash
        )
    return accounts


async def update_accounts(
    files: Mapping[str, bytes], logins: Iterable[Login], hasher: PasswordHasher, former: Mapping[str, int]
) -> tuple[Account, ...]:
    """Return the accounts for the logins over those of an existing database, by name.

    `former` has the UIDs of a former pool's users, for a pool that has no database yet.

    A UID is never taken away or given to another user: files and jobs carry it. Who is no longer among the logins keeps his entry, with
    nothing that opens it.
    """
    known = parse_database(files) or {name: Account(name, uid) for name, uid in former.items()}
    accounts = {name: replace(account, authorized_keys=None, password_hash=None) for name, account in known.items()}
    for login in sorted(logins, key=lambda item: item.name):
        old = known.get(login.name)
        if old is None:
            old = Account(login.name, free_uid(login.name, {account.uid for account in accounts.values()}))
        if login.keep:
            accounts[login.name] = old
            continue
        hashed = await hasher.hash(login.password, old.password_hash) if login.password is not None else None
        accounts[login.name] = Account(login.name, old.uid, login.authorized_keys, hashed)
    return tuple(accounts[name] for name in sorted(accounts))


def free_uid(name: str, taken: set[int]) -> int:
    """Return a UID for a new user: from his name, so that the same users get the same UIDs in a pool made again."""
    start = zlib.crc32(name.encode()) % UID_COUNT
    return next(uid for offset in range(UID_COUNT) if (uid := FIRST_UID + (start + offset) % UID_COUNT) not in taken)
