"""What the check of a configuration makes of HTCondor's words; the words are recorded from 25.14.1."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from config_check import cli, judge
from config_check.dump import parse_dump, parse_error

DUMP = """# Configuration from machine: demo-cpu-0
DAEMON_LIST = MASTER, STARTD
 # at: /tmp/e/90-operator.conf, line 38
 # expanded: MASTER, STARTD
 # default: MASTER
MASTER.DAEMON_LIST = MASTER
 # at: /tmp/e/50-00-a-b.conf, line 1
 # expanded: MASTER
SLOT_TYPE_1 = 100%
 # at: /tmp/e/90-operator.conf, line 46, use FEATURE:PartitionableSlot+2
 # expanded: 100%
SHADOW_RENICE_INCREMENT = 0
 # at: <Default>
 # expanded: 0
X @=end
   foo
   DAEMON_LIST = 3
@end
 # at: /tmp/e/50-00-a-b.conf, line 6
 # expanded:
 #     foo
 #     DAEMON_LIST = 3
"""


def test_a_dump_is_read_with_the_file_and_line_of_each_setting() -> None:
    settings = {setting.name: setting for setting in parse_dump(DUMP)}
    daemons = settings["DAEMON_LIST"]
    assert (daemons.file, daemons.line, daemons.value, daemons.default) == (
        "90-operator.conf",
        38,
        "MASTER, STARTD",
        "MASTER",
    )
    assert (settings["SLOT_TYPE_1"].file, settings["SLOT_TYPE_1"].metaknob) == ("90-operator.conf", True)
    assert settings["SHADOW_RENICE_INCREMENT"].file == ""


def test_no_line_of_a_value_passes_for_a_setting() -> None:
    assert [setting.name for setting in parse_dump(DUMP)].count("DAEMON_LIST") == 1


@pytest.mark.parametrize(
    ("said", "file", "line", "words"),
    [
        ("\nConfiguration Error Line 2 while reading config source /tmp/e/50-00-a-b.conf\n", "50-00-a-b.conf", 2, ""),
        (
            """Error: use feature:NoSuch: does not recognise NoSuch
Config source Error "/tmp/e/50-00-a-b.conf", Line 2: at use feature:NoSuch:NoSuch
Configuration Error Line 2 while reading config source /tmp/e/50-00-a-b.conf
""",
            "50-00-a-b.conf",
            2,
            "Error: use feature:NoSuch: does not recognise NoSuch; at use feature:NoSuch:NoSuch",
        ),
        (
            """Config source Error "/tmp/e/50-00-a-b.conf", Line 2:
Configuration Error Line 2 while reading config source /tmp/e/50-00-a-b.conf
endif(s) not found before end-of-file
""",
            "50-00-a-b.conf",
            2,
            "endif(s) not found before end-of-file",
        ),
        ("out of memory", "", 0, "out of memory"),
    ],
)
def test_a_refusal_is_read_with_its_place(said: str, file: str, line: int, words: str) -> None:
    assert parse_error(said) == (file, line, words)


class HTCondor:
    """Its tools, as far as the check uses them: one dump per set of files, and expressions that they understand."""

    def __init__(self, mine: str, everything: str, results: Mapping[str, str] | None = None) -> None:
        self.dumps = {"ours": mine, "all": everything}
        self.results = results or {}
        self.code = 0

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        if command[0] == "classad_eval":
            result = self.results.get(command[-1])
            return (1, "", "no") if result is None else (0, f"{result}\n", "")
        return self.code, self.dumps[Path(environment["CONDOR_CONFIG"]).stem], ""


@pytest.fixture
def htcondor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., HTCondor]:
    root = tmp_path / "condor_config"
    root.write_text("")
    monkeypatch.setattr(judge, "ROOT", str(root))
    judge._evaluate.cache_clear()

    def use(mine: str, everything: str, results: Mapping[str, str] | None = None) -> HTCondor:
        tools = HTCondor(mine, everything, results)
        monkeypatch.setattr(judge, "_run", tools.run)
        return tools

    return use


FILES = {"10-defaults.conf": "", "50-00-a-b.conf": "", "90-operator.conf": ""}
OURS = "DAEMON_LIST = MASTER\n # at: /x/90-operator.conf, line 38\n"


def test_a_setting_that_would_beat_the_operators_is_found_once(htcondor: Callable[..., HTCondor]) -> None:
    htcondor(OURS, DUMP)
    (found,) = judge.judge("executor", FILES)
    assert found.text() == "50-00-a-b.conf, line 1: MASTER.DAEMON_LIST belongs to the operator: remove it"


@pytest.mark.parametrize(
    ("name", "value", "default", "wanted"),
    [
        ("UPDATE_INTERVAL", "abc", "300", "a number"),
        ("UPDATE_INTERVAL", "60 * 5", "300", ""),
        ("STARTD.UPDATE_INTERVAL", "3m", "300", "a number"),
        ("ENABLE_SSH_TO_JOB", "maybe", "true", "true or false"),
        ("ENABLE_SSH_TO_JOB", "True", "true", ""),
        ("START", "(((", "True", "an expression"),
        ("START", "TARGET.Owner == 1", "True", ""),
        ("RANK", "abc", "0", ""),
        ("MAX_DEFAULT_LOG", "3 Mb", "10 Mb", ""),
        ("SYSTEM_PERIODIC_HOLD_NAMES", "3 Mb", "", ""),
        ("ANYTHING", "(((", "", ""),
        ("UPDATE_INTERVAL", "", "300", ""),
    ],
)
def test_a_value_of_the_wrong_kind_is_found(
    htcondor: Callable[..., HTCondor], name: str, value: str, default: str, wanted: str
) -> None:
    understood = {
        "abc": "undefined",
        "60 * 5": "300",
        "maybe": "undefined",
        "True": "true",
        "TARGET.Owner == 1": "error",
    }
    dump = f"{name} = {value}\n # at: /x/50-00-a-b.conf, line 7\n # expanded: {value}\n # default: {default}\n"
    htcondor(OURS, dump, understood)
    texts = [finding.text() for finding in judge.judge("executor", FILES)]
    assert texts == ([f"50-00-a-b.conf, line 7: {name} must be {wanted}, not {value!r}"] if wanted else [])


def test_an_attribute_that_is_advertised_must_be_an_expression(htcondor: Callable[..., HTCondor]) -> None:
    dump = (
        'Rack = "r1\n # at: /x/50-00-a-b.conf, line 6\n # expanded: "r1\n'
        "STARTD_ATTRS = Group Rack\n # at: /x/50-00-a-b.conf, line 7\n # expanded: Group Rack\n"
    )
    htcondor(OURS, dump)
    (found,) = judge.judge("executor", FILES)
    assert found.knob == "Rack"


def test_a_dump_without_end_is_told_as_such(htcondor: Callable[..., HTCondor], monkeypatch: pytest.MonkeyPatch) -> None:
    htcondor(OURS, DUMP)
    monkeypatch.undo()
    with pytest.raises(judge.RefusedError, match="no end"):
        judge._run(("prlimit", "--cpu=1", "--", "sh", "-c", "while :; do :; done"), {"PATH": "/usr/bin:/bin"})


def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], question: bytes) -> dict[str, object]:
    monkeypatch.setattr("sys.argv", ["pool-config-check", "-"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(question)))
    cli.main()
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


def test_a_question_is_answered_in_json(
    htcondor: Callable[..., HTCondor], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    htcondor(OURS, DUMP)
    answer = ask(monkeypatch, capsys, json.dumps({"role": "executor", "files": FILES}).encode())
    finding = {"file": "50-00-a-b.conf", "line": 1, "knob": "MASTER.DAEMON_LIST"}
    assert answer == {"findings": [finding | {"message": "belongs to the operator: remove it"}]}


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"[]",
        b'{"role": "sshd", "files": {}}',
        b'{"role": "executor", "files": {"../x": ""}}',
        b'{"role": "executor", "files": {"x": 3}}',
    ],
)
def test_what_is_no_question_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], question: bytes
) -> None:
    assert "error" in ask(monkeypatch, capsys, question)
