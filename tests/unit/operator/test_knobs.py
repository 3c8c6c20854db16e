"""What of a user's configuration would get around the owned settings is refused, with line and knob."""

import pytest

from condorpool_operator.builders.knobs import findings, owned_knobs, restart_annotation


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
    assert "UPDATE_INTERVAL" not in owned_knobs()


def test_every_owned_setting_is_refused_but_what_is_added_to() -> None:
    taken = {name for name in owned_knobs() if not findings(f"{name} = x\n")}
    assert taken == {"START", "STARTD_ATTRS", "SYSTEM_PERIODIC_HOLD_NAMES"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        'START = TARGET.Owner == "john"\n',
        "# include this\nNEGOTIATOR.X = 1\n",
        "INCLUDED = 1\n",
        "use FEATURE:GPUs\n",
        "use POLICY : HOLD_IF_CPUS_EXCEEDED, HOLD_IF_MEMORY_EXCEEDED\n",
        "# DAEMON_LIST = MASTER\n",
        "STARTD_ATTRS = $(STARTD_ATTRS) Rack\nRack = 7\n",
        "STARTD_DEBUG = D_FULLDEBUG\nMAX_STARTD_LOG = 5 Mb\nMAX_NUM_STARTD_LOG = 2\n",
        "JOB_TRANSFORM_NAMES = A\nJOB_TRANSFORM_A @=end\n  SET Rack 7\n@end\n",
        "STARTER_JOB_ENVIRONMENT = OMP_NUM_THREADS=1\n",
        "if version >= 25.0\n  RANK = KFlops\nendif\n",
        "FLOCK_TO = elsewhere.example\r\n",
        "COMMENT = naïve \u2028 text\n",
    ],
)
def test_what_cannot_harm_is_taken(text: str) -> None:
    assert findings(text) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("A = 1\nDAEMON_LIST = MASTER\n", "line 2: DAEMON_LIST is refused: the operator owns DAEMON_LIST"),
        (
            "A = 1\nMASTER.DAEMON_LIST = MASTER\n",
            "line 2: MASTER.DAEMON_LIST is refused: the operator owns DAEMON_LIST",
        ),
        ("  master.daemon_list=MASTER", "line 1: master.daemon_list is refused"),
        ("COLLECTOR.ALLOW_ADVERTISE_STARTD := *", "line 1: COLLECTOR.ALLOW_ADVERTISE_STARTD is refused"),
        ("STARTD.local.EXECUTE @= end\n/\n@end", "line 1: STARTD.local.EXECUTE is refused"),
        ("STARTD.STARTD_ATTRS = Rack", "line 1: STARTD.STARTD_ATTRS is refused"),
        ("STARTD.START = True", "line 1: STARTD.START is refused"),
        ("SLOT_TYPE_1_START = True", "line 1: SLOT_TYPE_1_START is refused"),
        ("STARTD.SLOT_TYPE_1_PREEMPT = True", "line 1: STARTD.SLOT_TYPE_1_PREEMPT is refused"),
        ("A = 1 \\\n 2\ninclude : /etc/passwd\n", "line 3: include is refused"),
        ("Include command : /bin/true\n", "line 1: include is refused"),
        ("@include : /tmp/x\n", "line 1: include is refused"),
        ("MASTER.DAEMON_LIST \\\n = MASTER", "line 1: MASTER.DAEMON_LIST is refused"),
        # as HTCondor 25.14 reads it: a comment does not go on after a \, a colon assigns, names may be split and made
        ("# comment \\\nDAEMON_LIST = MASTER\n", "line 2: DAEMON_LIST is refused"),
        ("DAEMON_LIST : MASTER\n", "line 1: DAEMON_LIST is refused"),
        ("DAEMON_\\\n  # comment\n  LIST = MASTER\n", "line 1: DAEMON_LIST is refused"),
        ("A = DAEMON\n$(A)_LIST = MASTER\n", "line 2: $(A)_LIST is refused: write the name of the setting out"),
        ("A = 1\x0bDAEMON_LIST = MASTER\n", "line 1: a control character is refused"),
        ("A = 1\n\x00\n", "line 2: a control character is refused"),
        ("use ROLE:Personal\n", "line 1: use ROLE is refused"),
        ("use SECURITY:HOST_BASED\n", "line 1: use SECURITY is refused"),
        ("USE feature : gpus, StartdCronOneShot(x, /bin/true)\n", "line 1: use FEATURE:StartdCronOneShot(x is refused"),
        ("use $(X)\n", "line 1: use  is refused"),
    ],
)
def test_what_gets_around_an_owned_setting_is_refused(text: str, finding: str) -> None:
    assert findings(text)[0].startswith(finding)


@pytest.mark.parametrize(
    "name",
    [
        "STARTD",
        "COLLECTOR",
        "STARTD_ARGS",
        "STARTER_ENVIRONMENT",
        "STARTD_CRON_X_EXECUTABLE",
        "X_JOB_HOOK_KEYWORD",
        "MYHOOK_HOOK_PREPARE_JOB",
        "USER_JOB_WRAPPER",
        "FILETRANSFER_PLUGINS",
        "MACHINE_RESOURCE_INVENTORY_TAPES",
        "SHUTDOWN_PROGRAM",
        "CLASSAD_USER_LIBS",
        "SBIN",
        "MAIL",
        "LINUX_KERNEL_TUNING_SCRIPT",
    ],
)
def test_what_would_run_a_program_is_refused(name: str) -> None:
    assert "program" in findings(f"{name} = /bin/true\n")[0]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("STARTD_LOG", "file"),
        ("EVENT_LOG", "file"),
        ("HISTORY", "file"),
        ("MASTER_ADDRESS_FILE", "file"),
        ("LOCAL_CONFIG_DIR", "file"),
        ("CLASSAD_USER_MAPFILE_x", "file"),
        ("SEC_READ_AUTHENTICATION", "may do what"),
        ("QUEUE_SUPER_USERS", "may do what"),
        ("SLOT1_USER", "may do what"),
        ("JOB_EXECDIR_PERMISSIONS", "may do what"),
        ("COLLECTOR_PORT", "which daemons run"),
        ("SCHEDD_NAME", "which daemons run"),
        ("START_DAEMONS", "which daemons run"),
    ],
)
def test_what_belongs_to_the_pod_is_refused(name: str, why: str) -> None:
    (found,) = findings(f"{name} = x\n")
    assert why in found
    assert found.startswith(f"line 1: {name} is refused")


@pytest.mark.parametrize(
    ("role", "line", "needs"),
    [
        ("executor", "NUM_SLOTS_TYPE_2 = 1", True),
        ("executor", "use FEATURE:GPUs", True),
        ("executor", "START = False", False),
        ("submitter", "NUM_SLOTS_TYPE_2 = 1", False),
        ("submitter", "SCHEDD.SCHEDD_MAX_FILE_DESCRIPTORS = 9", True),
        ("manager", "MAX_FILE_DESCRIPTORS = 9", True),
        ("manager", "# MAX_FILE_DESCRIPTORS = 9", False),
    ],
)
def test_only_what_a_role_reads_at_its_start_alone_makes_new_pods(role: str, line: str, needs: bool) -> None:
    assert bool(restart_annotation(role, {"50-00-a-b": f"E2E = 1\n{line}\n"})) is needs


def test_new_pods_are_made_when_such_a_setting_changes_and_not_for_others() -> None:
    def annotation(value: int, other: int) -> dict[str, str]:
        files = {"50-00-a-b": f"MAX_FILE_DESCRIPTORS = \\\n {value}\nUPDATE_INTERVAL = {other}\n"}
        return restart_annotation("manager", files)

    assert annotation(1, 1) == annotation(1, 2)
    assert annotation(1, 1) != annotation(2, 1)
