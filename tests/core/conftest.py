"""Settings of the level 0 tests of the core."""

from hypothesis import settings

# A busy machine is no failure, and the same commit draws the same examples.
settings.register_profile("core", deadline=None, derandomize=True)
settings.load_profile("core")
