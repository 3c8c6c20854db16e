"""Runs beside the collector in the manager's pod: tells the pool's state as JSON and as metrics.

Python's standard library alone, and HTCondor by its own tools only (docs/design/agent.md): they run as children that can be killed, and
always match the daemons of the image.
"""
