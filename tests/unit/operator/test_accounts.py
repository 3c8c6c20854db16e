"""The user database: UIDs for ever, hashes that stay, nothing in clear."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from condorpool_operator.accounts import FIRST_UID, UID_COUNT, Login, PasswordHasher, free_uid, update_accounts
from condorpool_operator.builders.context import Account
from condorpool_operator.builders.credentials import user_database

HASHER = PasswordHasher(rounds=4)
NAMES = st.lists(st.from_regex(r"[a-z][-a-z0-9_]{0,8}", fullmatch=True), unique=True, max_size=8)


def update(files: dict[str, bytes], *logins: Login) -> dict[str, Account]:
    return {account.name: account for account in asyncio.run(update_accounts(files, logins, HASHER, {}))}


def store(accounts: dict[str, Account]) -> dict[str, bytes]:
    return user_database(tuple(accounts.values()))


def test_a_hash_is_kept_while_it_verifies() -> None:
    first = update({}, Login("john", password="one"))
    second = update(store(first), Login("john", password="one"))
    third = update(store(second), Login("john", password="two"))
    assert first["john"].password_hash == second["john"].password_hash != third["john"].password_hash


def test_a_hash_is_kept_by_a_new_process_too() -> None:
    first = update({}, Login("john", password="one"))
    fresh = PasswordHasher(rounds=4)
    (second,) = asyncio.run(update_accounts(store(first), [Login("john", password="one")], fresh, {}))
    assert second.password_hash == first["john"].password_hash


def test_no_password_is_stored_in_clear() -> None:
    files = store(update({}, Login("john", password="correct horse")))
    assert b"correct horse" not in b"".join(files.values())
    assert "correct horse" not in repr(Login("john", password="correct horse"))
    assert "correct horse" not in repr(vars(HASHER))


def test_who_is_removed_keeps_his_uid_and_nothing_that_opens_it() -> None:
    first = update({}, Login("john", "ssh-ed25519 AAAA\n", "one"))
    second = update(store(first))
    assert second["john"] == Account("john", first["john"].uid)
    files = store(second)
    assert b"/usr/sbin/nologin" in files["passwd"]
    assert files["shadow"].startswith(b"john:*:")
    assert "authorized_keys.john" not in files


def test_who_cannot_be_read_now_stays_as_he_was() -> None:
    first = update({}, Login("john", "ssh-ed25519 AAAA\n", "one"))
    assert update(store(first), Login("john", keep=True)) == first


def test_a_dropped_password_or_key_opens_nothing_any_more() -> None:
    first = update({}, Login("john", "ssh-ed25519 AAAA\n", "one"))
    by_key = update(store(first), Login("john", "ssh-ed25519 AAAA\n"))
    assert by_key["john"].password_hash is None
    by_password = update(store(first), Login("john", password="one"))
    assert by_password["john"].authorized_keys is None


@given(NAMES, NAMES)
def test_uids_never_change_and_are_never_shared(before: list[str], after: list[str]) -> None:
    first = update({}, *map(Login, before))
    second = update(store(first), *map(Login, after))
    assert all(second[name].uid == account.uid for name, account in first.items())
    uids = [account.uid for account in second.values()]
    assert len(uids) == len(set(uids))
    assert all(FIRST_UID <= uid < FIRST_UID + UID_COUNT for uid in uids)


def test_a_pool_made_again_gives_the_same_uids() -> None:
    assert update({}, Login("a"), Login("b"))["b"].uid == update({}, Login("b"))["b"].uid


def test_a_taken_uid_is_passed_over() -> None:
    wanted = free_uid("john", set())
    assert free_uid("john", {wanted}) == FIRST_UID + (wanted - FIRST_UID + 1) % UID_COUNT
