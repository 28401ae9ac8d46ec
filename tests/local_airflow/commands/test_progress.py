from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from local_airflow.commands.progress import RunFollower, RunProgress, seconds_text
from local_airflow.instance.rest import AirflowApi, ApiUnavailableError, LogLine, LogPage, TaskInstance
from local_airflow.interruption import Interruption
from local_airflow.terminal import Terminal

SURVEY = TaskInstance("survey", -1, "running", 1, None, None)
VERIFY = TaskInstance("verify_access", -1, None, 0, None, None)


class Screen(io.StringIO):
    """A stream that keeps what was written; a terminal if the test says so."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def lines(self) -> list[str]:
        """What was printed, without the time at the beginning of each line."""
        return [re.sub(r"^ *\d+:\d\d  ", "", line) for line in self.getvalue().splitlines()]


def told(*texts: str) -> list[LogLine]:
    return [LogLine(text, "info") for text in texts]


def test_a_line_when_a_task_begins_and_one_when_it_ends() -> None:
    screen = Screen()
    progress = RunProgress(Terminal(screen))
    progress.show([SURVEY, VERIFY])
    progress.show([SURVEY, VERIFY])
    progress.show([replace(SURVEY, state="success", seconds=3.24), replace(VERIFY, state="skipped")])
    assert screen.lines() == [
        "survey         started",
        "survey         success in 3.2 s",
        "verify_access  skipped",
    ]


def test_of_a_try_that_failed_and_is_repeated_it_is_said_why_and_when() -> None:
    screen = Screen()
    progress = RunProgress(Terminal(screen))
    progress.show([SURVEY])
    progress.hear(
        SURVEY, [LogLine("Task failed with exception", "error", ["ClusterError: 503\nand more", "its cause"])]
    )
    progress.expect(SURVEY, 10.0)
    progress.show([replace(SURVEY, state="up_for_retry")])
    progress.show([replace(SURVEY, try_number=2)])
    progress.expect(SURVEY, None)
    progress.show([replace(SURVEY, try_number=2, state="up_for_retry")])
    progress.show([replace(SURVEY, try_number=3)])
    progress.show([replace(SURVEY, try_number=3, state="failed", seconds=61)])
    assert screen.lines() == [
        "survey  started",
        "survey  try 1 failed, tried again in 10.0 s: ClusterError: 503",
        "survey  started, try 2",
        "survey  try 2 failed, tried again after a while",
        "survey  started, try 3",
        "survey  failed in 1 min 01 s",
    ]


def test_deferring_and_coming_back_is_one_piece_of_work() -> None:
    screen = Screen()
    progress = RunProgress(Terminal(screen))
    for state in ("running", "deferred", "running", "success"):
        progress.show([replace(SURVEY, state=state, seconds=1.0)])
    assert screen.lines() == ["survey  started", "survey  success in 1.0 s"]


def test_newest_progress_message_is_shown_and_kept_at_the_end() -> None:
    screen = Screen()
    progress = RunProgress(Terminal(screen, interval_seconds=0))
    progress.show([SURVEY])
    progress.hear(SURVEY, told("progress: 1 of 3 blobs", "Deleting blob: sha256:1", "progress: 2 of 3 blobs", "so"))
    progress.show([SURVEY])
    progress.show([SURVEY])
    progress.show([replace(SURVEY, state="success", seconds=1.0)])
    assert screen.lines() == [
        "survey  started",
        "survey  2 of 3 blobs",
        "survey  success in 1.0 s: 2 of 3 blobs",
    ]


def test_a_file_does_not_get_every_change() -> None:
    screen = Screen()
    terminal = Terminal(screen, interval_seconds=3600)
    terminal.status("first")
    terminal.status("second")
    assert screen.lines() == ["first"]


def test_a_terminal_is_kept_up_to_date_in_place() -> None:
    screen = Screen(terminal=True)
    progress = RunProgress(Terminal(screen))
    progress.show([SURVEY])
    progress.hear(SURVEY, told("progress: 1 of 3"))
    progress.show([SURVEY])
    progress.show([replace(SURVEY, state="success", seconds=1.0)])
    assert screen.getvalue() == (
        "  0:00  survey  running\r\x1b[K  0:00  survey  1 of 3\r\x1b[K  0:00  survey  success in 1.0 s: 1 of 3\n"
    )


def test_a_closed_terminal_is_no_error() -> None:
    screen = Screen()
    screen.close()
    Terminal(screen).line("text")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"),
        (0.04, "0.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (52980, "14 h 43 min"),
    ],
)
def test_durations_for_people(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text


class FakeApi(AirflowApi):
    """Tells a run as a list of moments; ``None`` is one at which the API does not answer."""

    def __init__(self, *moments: tuple[str, list[TaskInstance]] | None) -> None:
        self._moments = list(moments)
        self.logs_read: list[str | None] = []

    def run_state(self, dag_id: str, run_id: str) -> str:
        moment = self._moments[0]
        if moment is None:
            self._moments.pop(0)
            raise ApiUnavailableError("database is locked")
        return moment[0]

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        moment = self._moments.pop(0)
        assert moment is not None
        return moment[1]

    def retry_pause(self, dag_id: str, task_id: str) -> float | None:
        return 20.0

    def log(self, dag_id: str, run_id: str, task: TaskInstance, continuation: str | None = None) -> LogPage:
        self.logs_read.append(continuation)
        count = len(self.logs_read)
        ended = not task.running
        return LogPage([LogLine(f"progress: {count}", "info")], [], None if ended else f"token {count}")


def follow(api: FakeApi, screen: Screen) -> str:
    with Interruption() as interruption:
        follower = RunFollower(api, "dag", "run", Terminal(screen), interruption, lambda: None)
        return follower.follow()


def test_a_run_is_followed_to_its_end_and_the_log_s_last_page_is_read() -> None:
    api = FakeApi(("running", [SURVEY]), ("failed", [replace(SURVEY, state="failed", seconds=2)]))
    screen = Screen()
    assert follow(api, screen) == "failed"
    assert api.logs_read == [None, "token 1"]
    assert screen.lines() == ["survey  started", "survey  1", "survey  failed in 2.0 s: 2"]


def test_the_log_of_a_try_that_failed_is_read_for_its_error() -> None:
    again = replace(SURVEY, state="up_for_retry")
    api = FakeApi(("running", [SURVEY]), ("running", [again]), ("running", [again]), ("success", []))
    screen = Screen()
    follow(api, screen)
    assert api.logs_read == [None, "token 1"]
    assert "survey  try 1 failed, tried again in 20.0 s" in screen.lines()


def test_the_log_of_a_task_too_short_to_be_seen_running_is_read_once() -> None:
    ended = replace(SURVEY, state="success", seconds=0.1)
    api = FakeApi(("running", [ended]), ("success", [ended]))
    screen = Screen()
    follow(api, screen)
    assert api.logs_read == [None]
    assert screen.lines() == ["survey  success in 0.1 s: 1"]


def test_an_api_that_does_not_answer_for_a_moment_is_waited_for() -> None:
    assert follow(FakeApi(None, None, ("success", [])), Screen()) == "success"


def test_an_api_that_stays_away_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_airflow.commands.progress.PATIENCE_WITH_API_SECONDS", 0.0)
    with pytest.raises(ApiUnavailableError, match="database is locked"):
        follow(FakeApi(None, None), Screen())
