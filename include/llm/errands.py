"""What can be done behind the back of whoever waits: few threads, a bounded line, nothing lost on closing."""

import logging
import queue
import threading
import time
from collections.abc import Callable

LOG = logging.getLogger(__name__)


class Errands:
    """Runs pieces of work on daemon threads. Any thread may use it.

    Args:
        name: of the threads.
        at_once: threads at most.
        waiting: pieces of work in line at most.
    """

    def __init__(self, name: str, *, at_once: int, waiting: int) -> None:
        self._name, self._at_once = name, at_once
        self._line: queue.Queue[Callable[[], None]] = queue.Queue(waiting)
        self._lock = threading.Lock()
        self._threads = 0

    def run(self, work: Callable[[], None]) -> bool:
        """Have it done some time soon; False where the line is full."""
        with self._lock:
            if self._threads < self._at_once and self._line.unfinished_tasks >= self._threads:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        try:
            self._line.put_nowait(work)
        except queue.Full:
            return False
        return True

    def finish(self, wait_s: float) -> bool:
        """Wait until everything is done, but no longer than this; whether it is."""
        deadline = time.monotonic() + wait_s
        while self._line.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)
        return not self._line.unfinished_tasks

    def _work(self) -> None:
        while True:
            work = self._line.get()
            try:
                work()
            except Exception:
                LOG.exception("%s: an errand failed", self._name)
            finally:
                self._line.task_done()
