"""Takes an executor's ads out of the collector when its daemons are gone, however they went.

A daemon that ends in peace does so itself; one that was killed leaves its ad behind for CLASSAD_LIFETIME (15 min), and jobs are
matched to an address where nobody lives (htcondor.md, Ads of the dead).
"""

ADVERTISE = ("condor_advertise", "-multiple", "INVALIDATE_STARTD_ADS")
# the slots, and the startd itself
TYPES = ("Machine", "StartD")


def farewell_ads(machine: str) -> str:
    """Ads that ask the collector to forget all of a machine; `machine` is its FULL_HOSTNAME."""
    return "".join(
        f'MyType = "Query"\nTargetType = "{kind}"\nRequirements = Machine == "{machine}"\n\n' for kind in TYPES
    )
