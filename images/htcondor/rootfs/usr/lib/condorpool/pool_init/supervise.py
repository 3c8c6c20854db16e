"""The life of one container: prepare, check, wait, start, watch, end."""

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from .accounts import install_slot_accounts
from .beacon import PORT, Beacon, name_servers
from .check import LIMIT, CheckServer, check_command
from .collector import LONGEST_WAIT, RETRY, CollectorWatch, Identity, answers, parse_identity
from .drain import Shutdown
from .farewell import ADVERTISE, farewell_ads
from .faults import Faults, judge_answer, judge_clock, judge_end, judge_volume
from .hangs import PATIENCE, HangWatch, question
from .homes import create_homes
from .layout import Layout, prepare
from .logs import Edit, LogDirectory, Tagger, conceal_unknown_users, leave_message, say, write_stdout
from .loop import Loop
from .lost import LostWatch
from .mounts import END_LIMIT, Mounts
from .processes import TIME_OVER, Command, Output, Reaper, running, spawn
from .sessions import Sessions
from .settings import USER_ROLES, Settings
from .strays import StrayWatch
from .users import install, read_database
from .watch import Watch

# seconds; the logs are looked at more often while they grow
QUIET = 1.0
BUSY = 0.2
# a daemon that gets SIGHUP before it has set up its signals dies of it
SETTLE = 3.0
CHECK_LIMIT = 5.0
VOLUME_LOOK = 5.0
# a schedd ends within 4 s, unless its shadows call executors that are gone, 20 s each; its queue is safe either way
SCHEDD_PATIENCE = 25
# no job starts where a mount is missing, so this only spares the first one a wait
MOUNTS_PATIENCE = 60.0

MASTER = ("condor_master", "-f")
SHADOW = "/usr/lib/condorpool/shadow"
# its ad has no DaemonStartTime
COLLECTOR_IDENTITY = (
    *("condor_status", "-collector", "-af", "MyAddress"),
    *("StatsLastUpdateTime - StatsLifetime", "StatsLastUpdateTime"),
)


class Supervisor:
    """Runs one role to its end; `run` returns the exit code of the container."""

    def __init__(self, settings: Settings, layout: Layout, environ: Mapping[str, str], loop: Loop) -> None:
        self._settings = settings
        self._layout = layout
        self._environ = {**environ, **_facts(settings.role)}
        self._loop = loop
        self._reaper = Reaper()
        self._patience = {"executor": settings.drain_seconds, "submitter": SCHEDD_PATIENCE}.get(settings.role)
        self._shutdown = Shutdown(self._patience)
        self._faults = Faults(layout.faults, say)
        self._mounts = Mounts(loop, self._reaper, environ, layout, settings.mounts)
        self._lost = LostWatch(loop, self._ask, layout.ends, layout.lost, say) if settings.role == "submitter" else None
        self._logs = LogDirectory(layout.log, edits=self._readers())
        self._tagger = (
            Tagger("sshd", write_stdout, conceal_unknown_users)
            if settings.role == "sshd"
            else Tagger("master", write_stdout)
        )
        self._sessions = Sessions(loop, self._reaper, environ, say) if settings.role == "sshd" else None
        self._main: int | None = None
        self._started = 0.0
        self._exit_code: int | None = None
        self._output: Output | None = None
        self._pending_reload = False

    def run(self) -> int:
        self._handle_signals()
        prepare(self._settings.role, self._layout)
        if self._settings.role == "manager":
            CheckServer(self._loop, self._reaper, self._layout.check_socket).start()
        self._install_accounts()
        if not self._configuration_accepted():
            return 1
        self._mounts.begin()
        peer = self._wait_for_collector()
        self._loop.run_until(lambda: self._shutdown.requested or self._mounts.tried, MOUNTS_PATIENCE)
        if self._shutdown.requested:
            return 0
        self._start()
        self._watch_files()
        self._watch_volume()
        self._watch_collector(peer)
        self._watch_daemons()
        if self._lost is not None:
            self._lost.start()
        self._loop.run_until(lambda: self._exit_code is not None)
        return self._finish()

    def _readers(self) -> dict[str, Edit]:
        """Who reads the lines of a log on their way."""
        if self._lost is None:
            return {}
        return {"shadow": self._lost.note, "schedd": lambda line: judge_end(line, self._faults)}

    # signals

    def _handle_signals(self) -> None:
        self._loop.on_signal(signal.SIGCHLD, self._reaper.reap)
        self._loop.on_signal(signal.SIGTERM, self._terminate)
        self._loop.on_signal(signal.SIGINT, self._terminate)
        self._loop.on_signal(signal.SIGQUIT, self._hurry)
        self._loop.on_signal(signal.SIGHUP, lambda: self._reload("SIGHUP"))
        # the image's entrypoint starts us with SIGTERM blocked, so that one that came before now is not lost
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _terminate(self) -> None:
        jobs = running("condor_starter") if self._settings.role == "executor" else 0
        actions = self._shutdown.terminate(self._loop.clock(), jobs)
        if actions and self._settings.role == "executor":
            say(f"SIGTERM: {jobs} running jobs may finish within {self._settings.drain_seconds} s")
            self._watch_beacon()
        elif actions:
            say("SIGTERM: shutting down")
        self._send(actions)

    def _watch_beacon(self) -> None:
        if self._settings.beacon:
            servers = [(server, PORT) for server in name_servers()]
            Beacon(self._loop, self._settings.beacon, self._abandon, servers).start()

    def _abandon(self) -> None:
        say(f"{self._settings.beacon} is gone, and the pool with it: the jobs that still run end now")
        self._send(self._shutdown.abandon(self._loop.clock()))

    def _hurry(self) -> None:
        say("SIGQUIT: shutting down fast")
        self._send(self._shutdown.hurry(self._loop.clock()))

    def _keep_deadlines(self) -> None:
        actions = self._shutdown.due(self._loop.clock())
        if signal.SIGQUIT in actions:
            what = "the jobs that still run are evicted" if self._settings.role == "executor" else "the schedd ends now"
            say(f"{self._patience} s are over: {what}")
        self._send(actions)

    def _send(self, numbers: list[int]) -> None:
        if self._main is None or self._exit_code is not None:
            return
        for number in numbers:
            os.kill(self._main, number)

    # before the start

    def _install_accounts(self) -> None:
        if self._settings.role == "executor":
            install_slot_accounts(self._layout)
        if self._settings.role in USER_ROLES:
            self._install_users()

    def _install_users(self) -> None:
        database = read_database(self._layout, say)
        install(database, self._layout)
        create_homes(list(database.users.values()), self._layout, say)
        say(f"{len(database.users)} users installed")
        if self._sessions is not None:
            self._sessions.shut_out(user for user in database.users.values() if not user.may_log_in)

    def _configuration_accepted(self) -> bool:
        """Wait for HTCondor's own judgement; a refusal is also the container's termination message."""
        verdict: list[str] = []
        self._check(verdict.append)
        self._loop.run_until(lambda: bool(verdict))
        if not verdict[0]:
            return True
        say(verdict[0])
        leave_message(self._layout.termination_log, verdict[0])
        return False

    def _check(self, done: Callable[[str], None]) -> None:
        """Calls `done` with what is wrong with the configuration, an empty text if nothing is."""
        role = self._settings.role
        check = self._sshd_check() if role == "sshd" else check_command(role, self._layout.config)
        judge = "sshd" if role == "sshd" else "HTCondor"

        def finished(code: int, text: str) -> None:
            reason = f"no verdict within {LIMIT:.0f} s" if code == TIME_OVER else "; ".join(text.splitlines())
            done("" if code == 0 else f"{judge} refuses the configuration: {reason}")

        Command(self._loop, self._reaper, check, self._environ, limit=LIMIT, finished=finished)

    def _wait_for_collector(self) -> str | None:
        """Poll the collector's port: a first update that fails is only repeated after a whole interval."""
        address = self._settings.collector
        if address is None:
            return None
        begin = self._loop.clock()
        peer = answers(address)
        while peer is None and not self._shutdown.requested and self._loop.clock() - begin < LONGEST_WAIT:
            self._loop.run_until(lambda: self._shutdown.requested, RETRY)
            peer = answers(address)
        outcome = "answers" if peer else "does not answer, starting anyway"
        say(f"collector {address[0]}:{address[1]} {outcome} after {self._loop.clock() - begin:.1f} s")
        return peer

    # the daemons

    def _start(self) -> None:
        output = Output(self._loop, self._tagger.feed)
        argv = self._sshd() if self._settings.role == "sshd" else MASTER
        self._main = spawn(argv, self._environ, output.write_end)
        output.child_started()
        self._output = output
        self._started = self._loop.clock()
        self._reaper.watch(self._main, self._exited)
        self._loop.every(0.5, self._keep_deadlines)
        timer = self._loop.every(BUSY, lambda: None)

        def follow() -> None:
            timer.period = BUSY if self._logs.poll() else QUIET

        timer.callback = follow

    def _sshd(self) -> tuple[str, ...]:
        return ("/usr/sbin/sshd", "-D", "-e", "-f", os.path.join(self._layout.sshd_config, "sshd_config"))

    def _sshd_check(self) -> tuple[str, ...]:
        return ("/usr/sbin/sshd", "-t", "-f", os.path.join(self._layout.sshd_config, "sshd_config"))

    def _exited(self, code: int) -> None:
        self._exit_code = code

    def _finish(self) -> int:
        if self._output is not None:
            self._output.drain()
        self._tagger.flush()
        self._mounts.end()
        if self._settings.role == "executor":
            try:
                self._say_farewell()
            except OSError as error:
                say(f"the collector may still list this executor: {error}")
        linger = self._shutdown.linger()
        if linger:
            say(f"condor_master has ended; the address stays {linger:.0f} s for shadows that still call")
            self._loop.run_until(lambda: False, linger)
        self._loop.run_until(lambda: self._mounts.ended, END_LIMIT + 1.0)
        self._logs.finish()
        if self._faults.last_words:
            leave_message(self._layout.termination_log, self._faults.last_words)
        code = self._exit_code or 0
        say(f"{'sshd' if self._settings.role == 'sshd' else 'condor_master'} ended with status {code}")
        return code

    def _say_farewell(self) -> None:
        path = self._layout.path("/run/condor/farewell")
        with open(path, "w", encoding="utf-8") as file:
            file.write(farewell_ads(socket.getfqdn()))
        codes: list[int] = []

        def finished(code: int, text: str) -> None:
            codes.append(code)
            if code != 0:
                say(f"the collector may still list this executor: {text or 'no answer in time'}")

        Command(self._loop, self._reaper, (*ADVERTISE, path), self._environ, limit=CHECK_LIMIT, finished=finished)
        self._loop.run_until(lambda: bool(codes))

    # changes

    def _watch_files(self) -> None:
        if self._settings.role == "sshd":
            self._on_change(self._layout.sshd_config, lambda: self._reload("sshd_config has changed"))
            self._on_change(self._layout.ssh_host_keys, lambda: self._reload("the host key has changed"))
        else:
            self._on_change(self._layout.config, lambda: self._reload("config.d has changed"))
        if self._settings.role in USER_ROLES:
            self._on_change(self._layout.users, self._install_users)

    def _on_change(self, directory: str, act: Callable[[], None]) -> None:
        watch = Watch(directory)

        def look() -> None:
            if watch.changed():
                act()

        self._loop.every(1.0, look)

    def _reload(self, reason: str) -> None:
        """Check first: a daemon that reads a broken configuration exits and takes its jobs along."""
        if self._main is None or self._pending_reload or self._shutdown.requested:
            return
        self._pending_reload = True
        wait = max(0.0, self._started + SETTLE - self._loop.clock())
        self._loop.later(wait, lambda: self._check_and_reload(reason))

    def _check_and_reload(self, reason: str) -> None:
        self._pending_reload = False

        def done(problem: str) -> None:
            if problem:
                say(f"{reason}, but {problem}; the daemons keep the old one")
                return
            say(f"{reason}: reconfig")
            self._send([signal.SIGHUP])

        self._check(done)

    def _watch_volume(self) -> None:
        if self._settings.role == "submitter":
            self._loop.every(VOLUME_LOOK, lambda: judge_volume(os.statvfs(self._layout.spool), self._faults))

    def _watch_daemons(self) -> None:
        if self._settings.role == "sshd" or self._main is None:
            return

        def ask(daemon: str, ended: Callable[[int], None]) -> None:
            def finished(code: int, _text: str) -> None:
                judge_answer(daemon, code, self._faults)
                ended(code)

            Command(self._loop, self._reaper, question(daemon), self._environ, limit=PATIENCE, finished=finished)

        def wanted() -> bool:
            return not self._shutdown.requested

        StrayWatch(self._loop, self._main, say).start()
        HangWatch(self._loop, self._settings.role, self._main, ask, wanted, say).start()

    def _ask(self, argv: Sequence[str], finished: Callable[[int, str], None]) -> None:
        Command(self._loop, self._reaper, argv, self._environ, limit=CHECK_LIMIT, finished=finished)

    def _watch_collector(self, peer: str | None) -> None:
        if self._settings.collector is not None:
            told = (self._manager_away, self._manager_back) if self._settings.role == "submitter" else ()
            CollectorWatch(self._loop, self._settings.collector, self._ask_collector, self._reload, *told).start(peer)

    def _manager_away(self) -> None:
        """Keep the schedd from calling a negotiator that is not there: it does nothing else for ten seconds, at the end of every job."""
        with open(self._layout.alone, "w", encoding="ascii") as file:
            file.write("SCHEDD_SEND_RESCHEDULE = False\n")
        self._reload("no manager is to be reached")

    def _manager_back(self) -> None:
        os.unlink(self._layout.alone)
        self._reload("the manager is to be reached again")

    def _ask_collector(self, answered: Callable[[Identity | None], None]) -> None:
        def finished(code: int, text: str) -> None:
            answer = parse_identity(text) if code == 0 else None
            if answer is not None:
                judge_clock(time.time() - answer[1], self._faults)
            answered(answer[0] if answer else None)

        Command(self._loop, self._reaper, COLLECTOR_IDENTITY, self._environ, limit=CHECK_LIMIT, finished=finished)


def _facts(role: str) -> dict[str, str]:
    """What the configuration asks of this container: a role image without the program has no such variable, and HTCondor's own is used."""
    if role == "submitter":
        return {"POOL_SHADOW": SHADOW}
    return {"POOL_STARTED": str(int(time.time()))} if role == "executor" else {}
