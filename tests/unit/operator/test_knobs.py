"""What of a user's configuration would get around the owned settings is refused, with line and knob."""

import pytest

from condorpool_operator.builders.knobs import findings, owned_knobs


def test_what_keeps_a_pool_whole_is_owned() -> None:
    owned = {
        "DAEMON_LIST",
        "CONDOR_HOST",
        "TRUST_DOMAIN",
        "ALLOW_DAEMON",
        "SHARED_PORT_PORT",
        "SPOOL",
        "SHUTDOWN_GRACEFUL_TIMEOUT",
    }
    assert owned <= owned_knobs()
    assert "START" not in owned_knobs()
    assert "UPDATE_INTERVAL" not in owned_knobs()


@pytest.mark.parametrize(
    "text",
    [
        "",
        'START = TARGET.Owner == "john"\n',
        "# include this\nNEGOTIATOR.X = 1\n",
        "INCLUDED = 1\n",
        "use FEATURE:GPUs\n",
        "DAEMON_LIST = MASTER\n",
        "MESSAGE = a \\\n  MASTER.DAEMON_LIST = not a knob here\n",
    ],
)
def test_what_cannot_harm_is_taken(text: str) -> None:
    assert findings(text) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "A = 1\nMASTER.DAEMON_LIST = MASTER\n",
            "line 2: MASTER.DAEMON_LIST is refused: the operator owns DAEMON_LIST",
        ),
        ("  master.daemon_list=MASTER", "line 1: master.daemon_list is refused"),
        ("COLLECTOR.ALLOW_ADVERTISE_STARTD := *", "line 1: COLLECTOR.ALLOW_ADVERTISE_STARTD is refused"),
        ("STARTD.local.EXECUTE @= end\n/\n@end", "line 1: STARTD.local.EXECUTE is refused"),
        ("A = 1 \\\n 2\ninclude : /etc/passwd\n", "line 3: include is refused"),
        ("Include command : /bin/true\n", "line 1: include is refused"),
        ("MASTER.DAEMON_LIST \\\n = MASTER", "line 1: MASTER.DAEMON_LIST is refused"),
    ],
)
def test_what_gets_around_an_owned_setting_is_refused(text: str, finding: str) -> None:
    assert findings(text)[0].startswith(finding)
