"""What a run is doing, task by task, while it does it."""

from __future__ import annotations

import time
from collections.abc import Callable

from local_airflow.instance.rest import (
    FINISHED_RUN_STATES,
    FINISHED_TASK_STATES,
    AirflowApi,
    ApiUnavailableError,
    LogLine,
    TaskInstance,
)
from local_airflow.interruption import Interruption
from local_airflow.terminal import Terminal

PROGRESS_PREFIX = "progress: "
"""A log message that begins with this is for the terminal, which shows what follows."""

POLL_SECONDS = 0.5
LOG_POLL_SECONDS = 1.0
PATIENCE_WITH_API_SECONDS = 60.0


def seconds_text(seconds: float | None) -> str:
    """A duration for people: ``0.4 s``, ``12.3 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if seconds is None:
        return "unknown"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


class RunProgress:
    """Turns what the API says of tasks into lines: one when a task begins, one when it ends, its news in between."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._shown: dict[tuple[str, int], str | None] = {}
        self._news: dict[str, str] = {}
        self._errors: dict[tuple[str, int], str] = {}
        self._pauses: dict[str, float | None] = {}

    def show(self, tasks: list[TaskInstance]) -> None:
        """Print what has changed since the last call."""
        width = max((len(task.name) for task in tasks), default=0)
        for task in tasks:
            key = (task.name, task.try_number)
            state = "running" if task.running else task.state
            if self._shown.get(key) == state:
                continue
            self._shown[key] = state
            text = self._change(task)
            if text is not None:
                self._terminal.event(f"{task.name:{width}}  {text}")
        running = [task for task in tasks if task.running]
        if not running:
            self._terminal.clear_status()
        for task in running[-1:]:
            news = self._news.get(task.name, "running" if self._terminal.in_place else "")
            if news:
                self._terminal.status(f"{task.name:{width}}  {news}")

    def hear(self, task: TaskInstance, lines: list[LogLine]) -> None:
        """Read a task's new log messages: the last one about its progress counts, and the last error of a try."""
        for line in lines:
            if line.text.startswith(PROGRESS_PREFIX):
                self._news[task.name] = line.text.removeprefix(PROGRESS_PREFIX)
            if line.problem:
                self._errors[task.name, task.try_number] = line.problem

    def expect(self, task: TaskInstance, pause_seconds: float | None) -> None:
        """Note how long Airflow waits before it tries a task again; None: a time that grows."""
        self._pauses[task.name] = pause_seconds

    def _change(self, task: TaskInstance) -> str | None:
        if task.running:
            again = "" if task.try_number <= 1 else f", try {task.try_number}"
            # Where the last line is kept up to date it shows this already.
            return None if self._terminal.in_place and not again else f"started{again}"
        if task.state == "up_for_retry":
            pause = self._pauses.get(task.name)
            again = "after a while" if pause is None else f"in {seconds_text(pause)}"
            why = self._errors.get((task.name, task.try_number), "").partition("\n")[0]
            return f"try {task.try_number} failed, tried again {again}" + (f": {why}" if why else "")
        if task.state in ("success", "failed"):
            news = self._news.get(task.name)
            return f"{task.state} in {seconds_text(task.seconds)}" + (f": {news}" if news else "")
        return task.state if task.state in FINISHED_TASK_STATES else None


class RunFollower:
    """Follows one run to its end and shows its progress.

    :param check_alive: called in every round; raises when it is pointless to go on.
    """

    def __init__(
        self,
        api: AirflowApi,
        dag_id: str,
        run_id: str,
        terminal: Terminal,
        interruption: Interruption,
        check_alive: Callable[[], None],
    ) -> None:
        self._api = api
        self._dag_id = dag_id
        self._run_id = run_id
        self._progress = RunProgress(terminal)
        self._interruption = interruption
        self._check_alive = check_alive
        self._continuations: dict[tuple[str, int], str | None] = {}
        self._read_to_end: set[tuple[str, int]] = set()
        self._next_log_poll = 0.0

    def follow(self) -> str:
        """Wait for the run's end.

        :return: its state, ``success`` or ``failed``.
        :raises ApiUnavailableError: if the API does not answer for a minute.
        :raises Interrupted: if somebody asks to stop; call again to go on.
        """
        api_needed_by = time.monotonic() + PATIENCE_WITH_API_SECONDS
        while True:
            self._check_alive()
            try:
                state = self._api.run_state(self._dag_id, self._run_id)
                tasks = self._api.task_instances(self._dag_id, self._run_id)
                self._read_logs(tasks)
                self._progress.show(tasks)
            except ApiUnavailableError:
                if time.monotonic() > api_needed_by:
                    raise
            else:
                api_needed_by = time.monotonic() + PATIENCE_WITH_API_SECONDS
                if state in FINISHED_RUN_STATES:
                    return state
            self._interruption.wait(POLL_SECONDS)

    def _read_logs(self, tasks: list[TaskInstance]) -> None:
        """Read what is new in the logs of the running tasks, and once more when a try has ended."""
        begun = time.monotonic()
        due = begun >= self._next_log_poll
        for task in tasks:
            key = (task.name, task.try_number)
            ended = task.state in ("success", "failed", "up_for_retry")
            if key in self._read_to_end or not (ended or (task.running and due)):
                continue
            page = self._api.log(self._dag_id, self._run_id, task, self._continuations.get(key))
            self._continuations[key] = page.continuation
            if ended:
                self._read_to_end.add(key)
            self._progress.hear(task, page.lines)
            if task.state == "up_for_retry":
                self._progress.expect(task, self._api.retry_pause(self._dag_id, task.task_id))
        if due:
            # Airflow reads the whole file each time: with a long one, ask less often.
            now = time.monotonic()
            self._next_log_poll = now + LOG_POLL_SECONDS + 2 * (now - begun)
