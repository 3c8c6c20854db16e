"""What holds for all unit tests."""

from hypothesis import settings

# no example is measured against a clock: on a busy machine that fails for no reason of ours
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
