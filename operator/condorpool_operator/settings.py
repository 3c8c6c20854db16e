"""Everything about the operator that can be tuned, read once from the environment (prefix ``CONDORPOOL_``)."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

RESOLVER = Path("/etc/resolv.conf")


def resolver_addresses() -> tuple[str, ...]:
    """Return the name servers of this pod: the DNS Service, or a cache on the node, as every other pod has them."""
    lines = RESOLVER.read_text().splitlines() if RESOLVER.exists() else []
    return tuple(line.split()[1] for line in lines if line.startswith("nameserver ") and len(line.split()) > 1)


class Settings(BaseSettings):
    """The operator's settings; each is one environment variable."""

    model_config = SettingsConfigDict(env_prefix="CONDORPOOL_", frozen=True)

    image_repository: str = "condorpool/htcondor"
    """Default role image."""
    image_tag: str = "dev"
    """Default tag of the role image."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """Default pull policy of the role image."""
    cluster_domain: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] = "cluster.local"
    """DNS domain of the cluster."""
    operator_namespace: str = ""
    """Namespace of the operator's own pod, which the pools' policies let in to the agents; empty outside the cluster: nobody."""
    operator_labels: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)
    """Labels of the operator's own pod, as key=value, comma-separated."""
    namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces to watch, comma-separated; empty is the whole cluster."""
    dns_servers: Annotated[tuple[str, ...], NoDecode] = Field(default_factory=resolver_addresses)
    """Addresses at which the pools' pods ask DNS, comma-separated; those of the operator's own pod unless given."""
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """Pools reconciled at the same time."""
    resync_seconds: Annotated[float, Field(ge=10)] = 600.0
    """Seconds between looks at a pool at rest, a belt beside the watches; jittered by a tenth."""
    request_timeout_seconds: Annotated[float, Field(gt=0)] = 20.0
    """Seconds after which a request to the API server counts as failed."""
    log_format: Literal["plain", "json"] = "plain"
    """Format of the operator's own log."""
    liveness_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Port of the liveness endpoint."""

    @field_validator("namespaces", "dns_servers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    @field_validator("operator_labels", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        return {key: label for key, _, label in pairs}

    @field_validator("dns_servers")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_address(address)) for address in value)
