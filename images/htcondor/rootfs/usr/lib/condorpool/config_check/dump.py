"""What `condor_config_val -dump -verbose` and its complaints say (HTCondor 25.14; docs/design/htcondor.md, Checking a configuration)."""

import re

AT = " # at: "
EXPANDED = " # expanded: "
DEFAULT = " # default: "
NAME = re.compile(r"(\S+) (= |@=)")
SOURCE = re.compile(r"(?P<path>/[^,]*), line (?P<line>\d+)(?P<metaknob>, use .*)?")
ERROR = re.compile(r"Configuration Error Line (\d+) while reading config source (\S+)")
COMPLAINT = re.compile(r'^Config source (?:Error "[^"]*", Line \d+: ?)?')


class Setting:
    """One setting in effect: its name, the file and line that set it (no file: nobody did), its value, HTCondor's default."""

    __slots__ = ("default", "file", "line", "metaknob", "name", "value")

    def __init__(self, name: str) -> None:
        self.name = name
        self.file = ""
        self.line = 0
        self.metaknob = False
        self.value = ""
        self.default = ""


def parse_dump(text: str) -> list[Setting]:
    """The settings of a dump; a value of several lines is indented there, so no value can pass for a source."""
    settings: list[Setting] = []
    for line in text.splitlines():
        name = NAME.match(line)
        if name is not None:
            settings.append(Setting(name.group(1)))
        elif not settings:
            continue
        elif line.startswith(AT):
            _note_source(settings[-1], line.removeprefix(AT))
        elif line.startswith(EXPANDED):
            settings[-1].value = line.removeprefix(EXPANDED)
        elif line.startswith(DEFAULT):
            settings[-1].default = line.removeprefix(DEFAULT)
    return settings


def _note_source(setting: Setting, text: str) -> None:
    source = SOURCE.fullmatch(text)
    if source is not None:
        setting.file = source.group("path").rpartition("/")[2]
        setting.line = int(source.group("line"))
        setting.metaknob = source.group("metaknob") is not None


def parse_error(text: str) -> tuple[str, int, str]:
    """File, line and words of a refusal; no file and line 0 where it names none."""
    found = ERROR.search(text)
    words = [COMPLAINT.sub("", line).strip() for line in text.splitlines() if not ERROR.search(line)]
    said = "; ".join(word for word in words if word)
    if found is None:
        return "", 0, said
    return found.group(2).rpartition("/")[2], int(found.group(1)), said
