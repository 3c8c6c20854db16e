"""Judges a pool's configuration by what HTCondor makes of it, before any daemon reads it.

Runs as an account that can read no credential, with an empty environment and bounded in time and memory: a configuration can
make its reader spin for ever, or run a command. It is a program of its own, called by pool-init and through it by the pool agent.
"""
