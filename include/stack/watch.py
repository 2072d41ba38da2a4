"""Restart what lives but no longer answers, and clear the way for what supervisord restarts by itself."""

import time

from include.stack.lifecycle import Say, Stack
from include.stack.supervision import SupervisorUnreachable, end_orphaned_servers

_EVERY_S = 10.0
# Airflow marks a component unhealthy half a minute after its last heartbeat; a busy machine deserves more.
_FAILURES_BEFORE_RESTART = 9


def watch(stack: Stack, say: Say) -> None:
    """Ask every running program for its health, for ever; restart one after 90 seconds without an answer."""
    failures: dict[str, int] = {}
    while True:
        for port in end_orphaned_servers(stack.settings):
            say(f"ended what a killed program had left listening on port {port}")
        states = stack.supervisor.states()
        for program in stack.programs:
            if states.get(program.name) != "RUNNING" or program.is_healthy():
                failures[program.name] = 0
                continue
            failures[program.name] = failures.get(program.name, 0) + 1
            if failures[program.name] >= _FAILURES_BEFORE_RESTART:
                silence = _FAILURES_BEFORE_RESTART * _EVERY_S
                say(f"{program.name} has not answered for {silence:.0f} s: restarting it")
                failures[program.name] = 0
                try:
                    stack.supervisor.restart_program(program.name)
                except SupervisorUnreachable as error:
                    say(str(error))
        time.sleep(_EVERY_S)
