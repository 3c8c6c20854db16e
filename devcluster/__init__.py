"""A real multi-node kind cluster with Calico, with or without a container registry.

Run it from the repository root: ``python3 -m devcluster up``. Only the standard library is used, because
this runs before any virtual environment exists.
"""
