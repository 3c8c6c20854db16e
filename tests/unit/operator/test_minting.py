"""Credentials: as HTCondor computes them, made once, healed when half of them is gone."""

import base64
import hashlib
import hmac
import json

import pytest

from condorpool_operator import minting
from condorpool_operator.builders.context import AgentCredentials, Credentials
from condorpool_operator.builders.credentials import build_credentials
from condorpool_operator.kinds import SECRET
from condorpool_operator.minting import complete_credentials, new_signing_key, new_token, token_is_good
from condorpool_operator.naming import Names
from condorpool_operator.observe import Children

from .factories import make_context

NAMES = Names("demo", "physics")
DOMAIN = "demo.physics"


def children(credentials: Credentials) -> Children:
    return Children(build_credentials(make_context({}, credentials=credentials)))


def segments(token: bytes) -> list[bytes]:
    return [base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)) for part in token.split(b".")]


def condor_signature(signing_key: bytes, signed: bytes) -> bytes:
    """HTCondor's own computation, from its parts: unscramble, HKDF-SHA256 (extract, one expand), HMAC-SHA256."""
    password = bytes(byte ^ b"\xde\xad\xbe\xef"[index % 4] for index, byte in enumerate(signing_key))
    extracted = hmac.new(b"htcondor", password, hashlib.sha256).digest()
    expanded = hmac.new(extracted, b"master jwt\x01", hashlib.sha256).digest()
    return hmac.new(expanded, signed, hashlib.sha256).digest()


@pytest.mark.parametrize("role", ["submitter", "executor", "monitor", "drain"])
def test_a_token_is_what_htcondor_would_sign(role: str) -> None:
    key = new_signing_key()
    token = new_token(key, role, DOMAIN)
    header, payload, signature = segments(token)
    assert json.loads(header)["kid"] == role
    claims = json.loads(payload)
    assert (claims["sub"], claims["iss"]) == (f"{role}@{DOMAIN}", DOMAIN)
    assert claims["scope"].split() == [f"condor:/{level}" for level in minting.SCOPES[role]]
    assert signature == condor_signature(key, token.rpartition(b".")[0])


def test_no_scope_lets_anybody_submit_and_one_alone_administrates() -> None:
    levels = {level for role, scopes in minting.SCOPES.items() for level in scopes if role != "drain"}
    assert levels <= {"ADVERTISE_SCHEDD", "ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"}
    assert minting.SCOPES["drain"] == ("ADMINISTRATOR", "READ")
    assert "ADVERTISE_SCHEDD" not in minting.SCOPES["executor"]
    assert "ADVERTISE_STARTD" not in minting.SCOPES["submitter"]
    assert minting.SCOPES["monitor"] == ("READ",)


def test_what_is_there_is_kept() -> None:
    first = complete_credentials(NAMES, Children(), ssh=True)
    assert complete_credentials(NAMES, children(first), ssh=True) == first


def test_two_pools_share_nothing() -> None:
    one, other = (complete_credentials(NAMES, Children(), ssh=True) for _ in range(2))
    assert not set(one.signing_keys.values()) & set(other.signing_keys.values())
    assert one.host_key != other.host_key
    assert one.agent.private_key != other.agent.private_key
    assert len({one.agent.token, one.agent.metrics_token, other.agent.token, other.agent.metrics_token}) == 4


def test_without_ssh_there_is_no_host_key() -> None:
    assert complete_credentials(NAMES, Children(), ssh=False).host_key is None


def test_a_lost_token_is_minted_from_the_key_that_is_there() -> None:
    first = complete_credentials(NAMES, Children(), ssh=False)
    live = children(first)
    live.remove(SECRET, NAMES.token("executor"))
    second = complete_credentials(NAMES, live, ssh=False)
    assert second.signing_keys == first.signing_keys
    assert second.tokens["submitter"] == first.tokens["submitter"]
    assert token_is_good(second.tokens["executor"], first.signing_keys["executor"], "executor", DOMAIN)


def test_a_pool_from_before_drains_gets_what_it_lacks_and_keeps_the_rest() -> None:
    first = complete_credentials(NAMES, Children(), ssh=True)
    before = children(first)
    for name, key in ((NAMES.signing_keys, "drain"), (NAMES.agent, "drain-token")):
        secret = before.get(SECRET, name)
        assert secret is not None
        del secret["data"][key]
    second = complete_credentials(NAMES, before, ssh=True)
    assert token_is_good(second.tokens["drain"], second.signing_keys["drain"], "drain", DOMAIN)
    for old, new in ((first.signing_keys, second.signing_keys), (first.tokens, second.tokens)):
        assert {role: new[role] for role in old if role != "drain"} == {
            role: old[role] for role in old if role != "drain"
        }
    assert (second.agent, second.host_key) == (first.agent, first.host_key)


def test_what_drains_is_the_agents_alone() -> None:
    secrets = {obj["metadata"]["name"]: obj["data"] for obj in build_credentials(make_context({}))}
    token = base64.b64encode(b"token-of-drains").decode()
    assert {name for name, data in secrets.items() if token in data.values()} == {NAMES.agent}
    assert secrets[NAMES.agent]["drain-token"] == token
    assert NAMES.token("drain") not in secrets


def test_a_lost_key_ends_the_tokens_made_with_it() -> None:
    first = complete_credentials(NAMES, Children(), ssh=False)
    live = children(first)
    live.remove(SECRET, NAMES.signing_keys)
    second = complete_credentials(NAMES, live, ssh=False)
    assert second.signing_keys != first.signing_keys
    for role, token in second.tokens.items():
        assert token_is_good(token, second.signing_keys[role], role, DOMAIN)
        assert not token_is_good(first.tokens[role], second.signing_keys[role], role, DOMAIN)


@pytest.mark.parametrize("token", [b"", b"x", b"a.b.c", b"\xff\xfe"])
def test_rubbish_is_no_token(token: bytes) -> None:
    assert not token_is_good(token, new_signing_key(), "executor", DOMAIN)


def test_a_token_of_another_role_or_pool_is_not_good() -> None:
    key = new_signing_key()
    token = new_token(key, "submitter", DOMAIN)
    assert not token_is_good(token, key, "executor", DOMAIN)
    assert not token_is_good(token, key, "submitter", "other.physics")


HOST = NAMES.manager_host


class TestCertificate:
    def test_is_for_the_managers_service_and_kept(self) -> None:
        certificate, key = minting.new_certificate(HOST)
        assert minting.certificate_is_good(certificate, key, HOST)
        files = {"tls.crt": certificate, "tls.key": key, "token": b"t", "metrics-token": b"m"}
        assert minting.complete_agent(NAMES, files) == AgentCredentials(certificate, key, b"t", b"m")

    def test_of_another_host_or_key_or_rubbish_is_made_anew(self) -> None:
        certificate, key = minting.new_certificate(HOST)
        _, other = minting.new_certificate(HOST)
        assert not minting.certificate_is_good(certificate, key, "elsewhere")
        assert not minting.certificate_is_good(certificate, other, HOST)
        assert not minting.certificate_is_good(b"x", key, HOST)
        assert not minting.certificate_is_good(certificate, b"", HOST)

    @pytest.mark.parametrize(("days", "good"), [(364, False), (367, True)])
    def test_is_renewed_a_year_before_its_end(self, monkeypatch: pytest.MonkeyPatch, days: int, good: bool) -> None:
        monkeypatch.setattr(minting, "CERTIFICATE_DAYS", days)
        assert minting.certificate_is_good(*minting.new_certificate(HOST), HOST) is good

    def test_a_new_one_leaves_the_tokens(self) -> None:
        renewed = minting.complete_agent(NAMES, {"token": b"t", "metrics-token": b"m"})
        assert (renewed.token, renewed.metrics_token) == (b"t", b"m")
        assert minting.certificate_is_good(renewed.certificate, renewed.private_key, HOST)

    def test_serves_a_name_of_any_length(self) -> None:
        host = f"{'p' * 38}.{'n' * 63}.svc.{'d' * 60}.local"
        assert minting.certificate_is_good(*minting.new_certificate(host), host)
