"""Crash safety of the operator, by exhaustion: what is held, and how, is said in `search`."""
