"""What is handed from task to task can be stored, whatever a pruner has printed."""

from __future__ import annotations

import json

import pytest
from pydantic import Field

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.deletion.detached_log import LogPosition
from include.registry_prune.pruner.output import PrunerOutput
from include.registry_prune.records import Record


class Kept(Record):
    text: str = ""
    texts: tuple[str, ...] = ()
    by_name: dict[str, tuple[str, ...]] = Field(default_factory=dict)


@pytest.mark.parametrize("bad", ["\0", "\ud800"])
def test_no_text_of_a_record_has_what_postgresql_refuses(bad: str) -> None:
    kept = Kept(text=f"a{bad}b", texts=("fine", bad), by_name={"x": (bad,)})
    stored = json.dumps(kept.to_json(), ensure_ascii=False).encode()
    assert b"\\u0000" not in stored
    assert kept == Kept(text="a\ufffdb", texts=("fine", "\ufffd"), by_name={"x": ("\ufffd",)})
    assert Kept.from_json(json.loads(stored)) == kept


@pytest.mark.parametrize("line", ['{"level":"error","msg":"a \\u0000 \\ud800 b"}', "no log line \0", '"\ud800'])
def test_lines_of_a_pruner_do_not_keep_its_result_from_being_stored(line: str) -> None:
    """Guards the run: PostgreSQL refused the XCom, and with it the whole task."""
    output = PrunerOutput("delete")
    output.feed(Stream.STDERR, line)
    stored = json.dumps(output.result(1).to_json())
    assert "\\u0000" not in stored
    assert "\\ud" not in stored
    assert not {"\0", "\ud800"} & set(LogPosition(kept=(line,)).kept[0])


def test_other_values_are_as_they_were() -> None:
    kept = Kept(text="ü \U0001f680 \t", texts=("x",))
    assert kept.text == "ü \U0001f680 \t"
