"""What the record of a delete by the list says of each key, after one attempt and after several."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.exact_delete.events import Batch, Begun, Ended, Outcome, Tally
from include.registry_prune.exact_pod.record import AttemptRecord, DeleteRecord
from include.registry_prune.pruner.dockerregistry import LineKind

KEYS = [f"sha256:{number:064x}" for number in range(12)]
BEGUN = Begun(work="delete", storage="a folder", counts={"blob": len(KEYS)})


def attempt(*batches: Batch, ended: bool = False) -> AttemptRecord:
    return AttemptRecord(begun=BEGUN, batches=batches, ended=Ended(work="delete", ended_by="end") if ended else None)


def found(record: DeleteRecord) -> list[Outcome]:
    return [outcome for _, outcome in record.outcomes(LineKind.BLOB, lambda: KEYS)]


def test_what_no_batch_tells_of_is_unknown() -> None:
    record = DeleteRecord(attempts=(attempt(Batch(first=0, count=4, failed={"no": (1,)}, missing=(2,))),))
    assert found(record) == [Outcome.DONE, Outcome.FAILED, Outcome.MISSING, Outcome.DONE, *[Outcome.UNKNOWN] * 8]
    assert record.tally(LineKind.BLOB) == Tally(listed=12, done=2, missing=1, failed=1)


def test_what_the_next_attempt_does_not_find_the_one_before_has_taken() -> None:
    """The pod of the first was evicted: the end of its log is lost."""
    first, second = attempt(Batch(first=0, count=2)), attempt(Batch(first=0, count=12, missing=(0, 1, 2)), ended=True)
    record = DeleteRecord(attempts=(first, second))
    assert found(record) == [Outcome.DONE] * 12
    assert record.tally(LineKind.BLOB) == Tally(listed=12, done=12)


def test_what_a_later_attempt_could_not_delete_but_an_earlier_one_did_is_gone() -> None:
    record = DeleteRecord(
        attempts=(attempt(Batch(first=0, count=12)), attempt(Batch(first=0, count=1, failed={"busy": (0,)})))
    )
    assert found(record) == [Outcome.DONE] * 12


def test_without_any_attempt_nothing_is_known() -> None:
    record = DeleteRecord()
    assert (found(record), record.tally(LineKind.BLOB), record.begun, record.ended) == ([], Tally(), None, None)


@st.composite
def attempts(draw: st.DrawFn) -> AttemptRecord:
    batches, first = [], 0
    while first < len(KEYS) and draw(st.booleans()):
        count = draw(st.integers(1, len(KEYS) - first))
        places = draw(st.lists(st.integers(0, count - 1), unique=True))
        middle = len(places) // 2
        batches.append(
            Batch(first=first, count=count, missing=tuple(places[:middle]), failed={"x": tuple(places[middle:])})
        )
        first += count
    return attempt(*batches)


@given(st.lists(attempts(), min_size=1, max_size=4))
def test_every_key_has_one_outcome_in_the_lists_order_and_what_one_attempt_did_stays_done(
    made: list[AttemptRecord],
) -> None:
    record = DeleteRecord(attempts=tuple(made))
    told = list(record.outcomes(LineKind.BLOB, lambda: KEYS))
    assert [key for key, _ in told] == KEYS
    for each in made:
        alone = DeleteRecord(attempts=(each,))
        for (_, outcome), (_, whole) in zip(alone.outcomes(LineKind.BLOB, lambda: KEYS), told, strict=True):
            assert outcome is not Outcome.DONE or whole is Outcome.DONE
