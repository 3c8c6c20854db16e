"""Entry: reads the settings, then lets kopf watch until a signal ends it."""

import gc
import logging
import sys

import kopf
from pydantic import ValidationError

from .handlers import events, probes, startup
from .settings import Settings

HANDLERS = (events, probes, startup)
"""Imported for their registration with kopf."""


def main() -> int:
    """Run the operator until SIGTERM; return the exit status."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.stderr.write(f"bad settings (environment variables CONDORPOOL_*): {error}\n")
        return 2
    kopf.configure(log_format=kopf.LogFormat.JSON if settings.log_format == "json" else kopf.LogFormat.PLAIN)
    for noisy in ("aiohttp.access", "kopf.objects", "kopf.activities"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    gc.freeze()  # what the imports made stays for good: no collection looks at it again
    kopf.run(
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        liveness_endpoint=f"http://0.0.0.0:{settings.liveness_port}/healthz",
        memo=kopf.Memo(settings=settings),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
