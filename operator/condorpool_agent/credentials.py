"""The agent's certificate, tokens and identity: files that the kubelet replaces, read again when they change.

The Secret's volume is mounted by the agent's container alone, so its files may be readable by everybody in it; HTCondor wants a token
that belongs to whoever shows it, and gets a copy in a directory of the agent's own: one for each identity, so that no tool has more
rights than it needs.
"""

import hmac
import ssl
import threading
from pathlib import Path

CERTIFICATE_FILES = ("tls.crt", "tls.key")
TOKEN_FILE, METRICS_TOKEN_FILE = "token", "metrics-token"
MONITOR_FILE, DRAIN_FILE = "idtoken", "drain-token"
"""Tokens of the agent's two identities for HTCondor: one reads, one drains."""

Stamp = tuple[tuple[int, int], ...]


class Credentials:
    """What a directory of credentials says at the moment of a call; what cannot be read as a whole leaves the former in force."""

    def __init__(self, source: Path, private: Path) -> None:
        self._source = source
        self._private = private
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._stamps: dict[str, Stamp] = {}

    def context(self) -> ssl.SSLContext:
        """Return what TLS is served with; OSError (ssl.SSLError is one) where there has never been a certificate."""
        with self._lock:
            try:
                if self._changed("certificate", *CERTIFICATE_FILES) or self._context is None:
                    self._context = self._load()
            except OSError:
                self._stamps.pop("certificate", None)
                if self._context is None:
                    raise
            return self._context

    def opens(self, authorization: str, *, metrics: bool) -> bool:
        """Return whether a header `Authorization` opens the interface, or its metrics; compared in constant time."""
        kind, _, given = authorization.partition(" ")
        names = (TOKEN_FILE, METRICS_TOKEN_FILE) if metrics else (TOKEN_FILE,)
        wanted = [(self._source / name).read_bytes().strip() for name in names]
        matches = [hmac.compare_digest(given.strip().encode(), one) and bool(one) for one in wanted]
        return kind.lower() == "bearer" and any(matches)

    def environment(self, identity: str) -> dict[str, str]:
        """Return the environment of HTCondor's tools: one identity, by its file, and nothing of the pool's configuration.

        OSError where there is no such token, as before the operator has made one.
        """
        directory = self._private / identity
        with self._lock:
            try:
                if self._changed(identity, identity):
                    self._copy(identity, directory)
            except OSError:
                self._stamps.pop(identity, None)
                raise
        return {
            "PATH": "/usr/bin:/bin",
            "CONDOR_CONFIG": "ONLY_ENV",
            "_CONDOR_SEC_CLIENT_AUTHENTICATION": "REQUIRED",
            "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
            "_CONDOR_SEC_TOKEN_DIRECTORY": str(directory),
        }

    def _copy(self, identity: str, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = self._private / "new"
        copy.unlink(missing_ok=True)
        copy.touch(mode=0o600)
        copy.write_bytes((self._source / identity).read_bytes())
        copy.rename(directory / identity)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        certificate, key = (self._source / name for name in CERTIFICATE_FILES)
        context.load_cert_chain(certificate, key)
        return context

    def _changed(self, what: str, *names: str) -> bool:
        """Note the state of files; return whether it is another than last time."""
        seen = [(self._source / name).stat() for name in names]
        before, self._stamps[what] = self._stamps.get(what), tuple((one.st_mtime_ns, one.st_ino) for one in seen)
        return self._stamps[what] != before
