"""Runs after all other modules, and judges what the operator did in them."""

import json

from .cluster import Operator
from .server import ApiServer


def test_the_operator_never_lacked_a_right_and_never_stumbled(server: ApiServer, operator: Operator) -> None:
    """Over all tests before, nothing was forbidden to the operator, and no reconcile raised."""
    entries = [json.loads(line) for line in server.audit_log.read_text().splitlines()]
    mine = [entry for entry in entries if entry["user"]["username"] == "operator"]
    lacked = 'User "operator" cannot'
    refused = [entry for entry in mine if lacked in entry["responseStatus"].get("message", "")]
    assert not [entry["requestURI"] for entry in refused]
    assert "Traceback" not in operator.log()
    assert lacked not in operator.log()
