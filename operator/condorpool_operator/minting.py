"""Makes the credentials of a pool that are missing, and keeps those that are there.

Chance and clock live here, so that the builders stay pure. A key is made once; a token is made again only where it does not verify with
the key at hand, so a crash between the two objects heals itself.
"""

import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from . import naming
from .builders.context import AgentCredentials, Credentials
from .builders.credentials import (
    CERTIFICATE_FILE,
    HOST_KEY_FILE,
    METRICS_TOKEN_FILE,
    PRIVATE_KEY_FILE,
    TOKEN_FILE,
    token_place,
)
from .naming import Names
from .observe import Children

SCOPES = {
    naming.SUBMITTER: ("ADVERTISE_SCHEDD", "ADVERTISE_MASTER", "READ"),
    naming.EXECUTOR: ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"),
    naming.MONITOR: ("READ",),
    naming.DRAIN: ("ADMINISTRATOR", "READ"),
}
"""What each role's token may do, in HTCondor's authorization levels; the manager's daemons need none. A drain costs ADMINISTRATOR."""

CERTIFICATE_DAYS = 3650
RENEWAL_DAYS = 365
"""Before its end a certificate is made anew: monitors have a copy, so let that be rare, and leave them time."""

_SCRAMBLE = bytes.fromhex("deadbeef")
_KEY_BYTES = 64


def complete_credentials(names: Names, children: Children, *, ssh: bool) -> Credentials:
    """Return the pool's credentials: what its Secrets hold, and new ones for what they lack."""
    keys = children.secret(names.signing_keys)
    signing_keys = {role: keys.get(role) or new_signing_key() for role in SCOPES}
    tokens = {}
    for role, key in signing_keys.items():
        secret, file = token_place(names, role)
        token = children.secret(secret).get(file, b"")
        tokens[role] = (
            token if token_is_good(token, key, role, names.trust_domain) else new_token(key, role, names.trust_domain)
        )
    host_key = children.secret(names.host_keys).get(HOST_KEY_FILE) or new_host_key() if ssh else None
    return Credentials(signing_keys, tokens, host_key, complete_agent(names, children.secret(names.agent)))


def complete_agent(names: Names, files: Mapping[str, bytes]) -> AgentCredentials:
    """Return the agent's credentials: those of its Secret, made anew where one is missing or the certificate ends within a year."""
    certificate, private_key = files.get(CERTIFICATE_FILE, b""), files.get(PRIVATE_KEY_FILE, b"")
    if not certificate_is_good(certificate, private_key, names.manager_host):
        certificate, private_key = new_certificate(names.manager_host)
    token = files.get(TOKEN_FILE) or secrets.token_urlsafe(32).encode()
    metrics_token = files.get(METRICS_TOKEN_FILE) or secrets.token_urlsafe(32).encode()
    return AgentCredentials(certificate, private_key, token, metrics_token)


def new_certificate(host: str) -> tuple[bytes, bytes]:
    """Return a self-signed certificate for a host and its private key, in PEM: whoever is to trust it is given it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "CondorPool")]
    )  # a host name may exceed a common name
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def certificate_is_good(certificate: bytes, private_key: bytes, host: str) -> bool:
    """Return whether a certificate is for this host and of this key, and goes on for a year."""
    try:
        parsed, key = x509.load_pem_x509_certificate(certificate), load_pem_private_key(private_key, None)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return False
    lasts = parsed.not_valid_after_utc - datetime.now(UTC) > timedelta(days=RENEWAL_DAYS)
    return lasts and names.get_values_for_type(x509.DNSName) == [host] and parsed.public_key() == key.public_key()


def new_signing_key() -> bytes:
    """Return the bytes of a new file for HTCondor's SEC_PASSWORD_DIRECTORY."""
    return _scramble(secrets.token_urlsafe(_KEY_BYTES).encode())


def new_host_key() -> bytes:
    """Return a new private key for sshd, in OpenSSH's format."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def new_token(signing_key: bytes, role: str, trust_domain: str) -> bytes:
    """Return a new IDTOKEN for a role; the key's id is the role's name."""
    claims = {
        "iat": int(time.time()),
        "iss": trust_domain,
        "jti": secrets.token_hex(16),
        "sub": f"{role}@{trust_domain}",
        "scope": _scope(role),
    }
    return jwt.encode(claims, _jwt_key(signing_key), algorithm="HS256", headers={"kid": role}).encode()


def token_is_good(token: bytes, signing_key: bytes, role: str, trust_domain: str) -> bool:
    """Return whether a token verifies with the key and says what the role needs."""
    try:
        if jwt.get_unverified_header(token).get("kid") != role:
            return False
        claims = jwt.decode(token, _jwt_key(signing_key), algorithms=["HS256"], issuer=trust_domain)
    except jwt.InvalidTokenError:
        return False
    return bool(claims.get("sub") == f"{role}@{trust_domain}" and claims.get("scope") == _scope(role))


def _scope(role: str) -> str:
    return " ".join(f"condor:/{level}" for level in SCOPES[role])


def _scramble(data: bytes) -> bytes:
    return bytes(byte ^ _SCRAMBLE[index % 4] for index, byte in enumerate(data))


def _jwt_key(signing_key: bytes) -> bytes:
    """Derive the HMAC key as HTCondor does: unscrambled file, HKDF-SHA256; a key called POOL, which we never use, differs."""
    return HKDF(SHA256(), 32, salt=b"htcondor", info=b"master jwt").derive(_scramble(signing_key))
