"""The form of the figures."""
