"""OpenSSH's client as a person uses it: by key or by password, through the NodePort."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .kubectl import Result

CALL_SECONDS = 60.0
ASKPASS = '#!/bin/sh\nprintf "%s\\n" "$E2E_PASSWORD"\n'


@dataclass(frozen=True)
class Key:
    """A key pair on disk."""

    path: Path

    @property
    def public(self) -> str:
        """The line for authorized_keys."""
        return self.path.with_suffix(".pub").read_text()


def make_key(directory: Path, name: str) -> Key:
    """Make a key pair without a passphrase."""
    path = directory / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True)
    return Key(path)


@dataclass(frozen=True)
class Ssh:
    """A client with its own known_hosts: a host key that changes is refused, as at a user's desk."""

    directory: Path
    endpoint: str

    @property
    def _address(self) -> tuple[str, str]:
        host, _, port = self.endpoint.rpartition(":")
        return host, port

    def with_key(self, user: str, key: Key, command: str, stdin: str = "") -> Result:
        """Log in by key alone and run a command."""
        return self._run(user, command, stdin, {}, "PreferredAuthentications=publickey", f"IdentityFile={key.path}")

    def with_password(self, user: str, password: str, command: str, stdin: str = "") -> Result:
        """Log in by password alone and run a command; the password is asked for once."""
        askpass = self.directory / "askpass"
        askpass.write_text(ASKPASS)
        askpass.chmod(0o700)
        environment = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "E2E_PASSWORD": password}
        options = ("PreferredAuthentications=password", "PubkeyAuthentication=no", "NumberOfPasswordPrompts=1")
        return self._run(user, command, stdin, environment, *options)

    def session(self, user: str, key: Key, command: str) -> subprocess.Popen[str]:
        """Open a session that lasts; what it prints can be read, and its end waited for."""
        return subprocess.Popen(
            self._command(user, command, "PreferredAuthentications=publickey", f"IdentityFile={key.path}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def copy(self, user: str, key: Key, source: Path, target: str) -> Result:
        """Copy a file to the user's home by scp."""
        host, port = self._address
        options = self._options(f"IdentityFile={key.path}")
        return _finished(["scp", "-F", "none", *options, "-P", port, str(source), f"{user}@{host}:{target}"])

    def sftp(self, user: str, key: Key, batch: str) -> Result:
        """Run the commands of a batch in one sftp session."""
        host, port = self._address
        options = self._options(f"IdentityFile={key.path}")
        return _finished(["sftp", "-F", "none", *options, "-P", port, "-b", "-", f"{user}@{host}"], batch)

    def _run(self, user: str, command: str, stdin: str, environment: dict[str, str], *options: str) -> Result:
        return _finished(self._command(user, command, *options), stdin, environment)

    def _command(self, user: str, command: str, *options: str) -> list[str]:
        host, port = self._address
        return ["ssh", "-F", "none", *self._options(*options), "-p", port, f"{user}@{host}", command]

    def _options(self, *options: str) -> list[str]:
        common = (
            "StrictHostKeyChecking=accept-new",
            f"UserKnownHostsFile={self.directory / 'known_hosts'}",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "ConnectTimeout=15",
            "LogLevel=ERROR",
        )
        return [f"-o{option}" for option in (*common, *options)]

    def host_keys(self) -> str:
        """Return the host keys that the server shows, sorted; empty where it does not answer."""
        host, port = self._address
        done = subprocess.run(
            ["ssh-keyscan", "-T", "10", "-p", port, host],
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS,
            check=False,
        )
        return "\n".join(sorted(line for line in done.stdout.splitlines() if line and not line.startswith("#")))


def _finished(command: list[str], stdin: str = "", environment: dict[str, str] | None = None) -> Result:
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return Result(done.returncode, done.stdout, done.stderr)
