"""What users' Secrets and ConfigMaps may hold, and what a refusal says."""

import pytest

from condorpool_operator import references
from condorpool_operator.builders.config import user_file_name
from condorpool_operator.references import check_keys, check_password, referenced

from .factories import JANE, JOHN, make_pool

FIELD = "spec.submitter.ssh.users[john].x"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPf0mR6sC8Zk6V2GqWmFv0aXzF2o0r0r0r0r0r0r0r0r john@lab"


@pytest.mark.parametrize("text", [KEY, f"# me\n\n{KEY}\n{KEY}\r\n", f'from="10.0.0.0/8" {KEY}'])
def test_keys_are_taken(text: str) -> None:
    assert "ssh-ed25519" in check_keys(text, FIELD)


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "# nothing\n", "ssh-ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----", f"{KEY}\nrubbish", f"{KEY}\0"],
)
def test_what_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(references.UnusableError) as caught:
        check_keys(text, FIELD)
    assert str(caught.value).startswith(FIELD)
    assert "BEGIN" not in str(caught.value)
    assert "rubbish" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "password"), [("a", "a"), ("pass word\n", "pass word"), ("p\r\n", "p"), ("ü" * 36, "ü" * 36)]
)
def test_passwords_are_taken(text: str, password: str) -> None:
    assert check_password(text, FIELD) == password


@pytest.mark.parametrize("text", ["", "\n", "one\ntwo", "tab\there", "x" * 73, "ü" * 37])
def test_unusable_passwords_are_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(references.UnusableError) as caught:
        check_password(text, FIELD)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_every_reference_is_known() -> None:
    pool = make_pool(
        {
            "config": {"configMapRefs": [{"name": "all"}]},
            "manager": {"config": {"configMapRefs": [{"name": "m"}]}},
            "executors": [
                {
                    "name": "cpu",
                    "config": {"configMapRefs": [{"name": "e"}]},
                    "mounts": [
                        {"name": "a", "path": "/a", "command": ["x"], "secretRef": {"name": "files"}},
                        {"name": "b", "path": "/b", "command": ["x"]},
                        {
                            "name": "c",
                            "path": "/c",
                            "oneclient": {"provider": "p", "tokenSecretRef": {"name": "token"}},
                        },
                    ],
                }
            ],
            "submitter": {"ssh": {"users": [JOHN, JANE]}},
        }
    )
    assert referenced(pool) == {"ConfigMap": {"all", "m", "e"}, "Secret": {"john", "jane", "files", "token"}}


def test_files_are_read_in_the_order_of_the_spec() -> None:
    names = [user_file_name(position, "z" if position % 2 else "a", "key") for position in range(16)]
    assert names == sorted(names)
    assert all("10-defaults.conf" < name < "90-operator.conf" for name in names)
