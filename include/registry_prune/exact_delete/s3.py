"""A registry's storage in a bucket: batches of a thousand keys, with an answer for each key."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, SSLError
from botocore.parsers import ResponseParserError

from include.registry_prune.exact_delete import keys
from include.registry_prune.exact_delete.configuration import S3Configuration
from include.registry_prune.exact_delete.events import Keeps, Kept
from include.registry_prune.exact_delete.storage import NothingThereError, Result, StorageError
from include.registry_prune.pruner.dockerregistry import LineKind

_BATCH = 1_000
"""``DeleteObjects`` takes no more."""
TRIES = 8
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 20.0
PASSING = frozenset(
    {
        "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException",
        "TooManyRequests", "OperationAborted", "500", "502", "503", "504", "429",
    }
)  # fmt: skip
"""Errors after which the same may be asked again, of a request and of a key in it. A delete may be asked for twice: the
second time finds nothing, and says that it is done."""
_HINTS = {
    "AccessDenied": "The account that the registry uses may not do this: it needs s3:DeleteObject, s3:ListBucket and, "
    "to put back, s3:DeleteObjectVersion and s3:ListBucketVersions on this bucket.",
    "NoSuchBucket": "Is the storage of Config cluster the one that the registry uses?",
    "SSLError": "Is the authority of its certificate among those that the cluster trusts (ConfigMap "
    "image-registry-certificates, or the trusted CA of Proxy cluster)?",
    "ExpiredToken": "Its credentials have run out. Is the token of the pod's service account renewed?",
}


class S3:
    """See :class:`include.registry_prune.exact_delete.storage.Storage`.

    :param client: see :func:`include.registry_prune.exact_delete.s3_client.s3_client`.
    :param stopping: set when the work is to end: no pause is waited out then.
    """

    batch_size = _BATCH
    at_once = 8
    tells_missing = False

    def __init__(self, configuration: S3Configuration, client: Any, stopping: threading.Event) -> None:
        self._configuration = configuration
        self._client = client
        self._stopping = stopping
        self._root = f"{configuration.root}/" if configuration.root else ""
        self._counting = threading.Lock()
        self._requests = self._retries = 0

    def text(self) -> str:
        return self._configuration.text()

    def requests(self) -> tuple[int, int]:
        return self._requests, self._retries

    def prepare(self) -> Keeps:
        found = self._ask("list_objects_v2", Prefix=f"{self._root}{keys.BLOBS}/", MaxKeys=1)
        if not found.get("KeyCount"):
            raise NothingThereError(
                f"There is no blob below {self._root}{keys.BLOBS} in {self.text()}: this is not the registry's "
                "storage. Nothing was touched."
            )
        try:
            versioning = self._ask("get_bucket_versioning").get("Status")
        except StorageError:
            # Not every account may ask, and not every store can answer.
            return Keeps.NOTHING
        return Keeps.VERSIONS if versioning == "Enabled" else Keeps.NOTHING

    def delete_blobs(self, digests: Sequence[str]) -> Result:
        return self._delete([{"Key": self._root + keys.blob_key(digest)} for digest in digests])

    def delete_repositories(self, names: Sequence[str]) -> Result:
        result = Result()
        for place, name in enumerate(names):
            objects = [{"Key": each["Key"]} for each in self._repository_objects("list_objects_v2", "Contents", name)]
            if not objects:
                result.missing.append(place)
            for first in range(0, len(objects), _BATCH):
                self._add_part(result, place, self._delete(objects[first : first + _BATCH]))
        return result

    def put_back_blobs(self, digests: Sequence[str]) -> Result:
        """By removing the markers that a delete puts in place of an object in a bucket with versions."""
        markers: list[dict[str, str]] = []
        places: list[int] = []
        missing: list[int] = []
        for place, digest in enumerate(digests):
            marker = self._marker(self._root + keys.blob_key(digest))
            if marker is None:
                missing.append(place)
            else:
                markers.append(marker)
                places.append(place)
        removed = self._delete(markers) if markers else Result()
        failed = {why: [places[each] for each in found] for why, found in removed.failed.items()}
        return Result(missing=missing, failed=failed, problem=removed.problem)

    def put_back_repositories(self, names: Sequence[str]) -> Result:
        result = Result()
        for place, name in enumerate(names):
            found = self._repository_objects("list_object_versions", "DeleteMarkers", name)
            markers = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found if each["IsLatest"]]
            if not markers:
                result.missing.append(place)
            for first in range(0, len(markers), _BATCH):
                self._add_part(result, place, self._delete(markers[first : first + _BATCH]))
        return result

    @staticmethod
    def _add_part(result: Result, place: int, part: Result) -> None:
        """A repository is done when all of its objects are; its first error stands for the others."""
        for why, places in list(part.failed.items())[:1]:
            if not any(place in found for found in result.failed.values()):
                result.fail(place, f"{len(places)} of its objects: {why}")
        result.problem = result.problem or part.problem

    def kept_subjects(self, kind: LineKind) -> Iterator[str]:
        raise StorageError("Of a bucket it is not known what a delete took: hand over the list of that delete.")

    def remove_kept_blobs(self, digests: Sequence[str]) -> Result:
        raise StorageError("What a bucket keeps, its own lifecycle rules remove (NoncurrentVersionExpiration).")

    remove_kept_repositories = remove_kept_blobs

    def kept(self) -> Iterator[Kept]:
        yield from ()

    def sweep_kept(self) -> None:
        """A bucket has no folders."""

    def _marker(self, key: str) -> dict[str, str] | None:
        found = self._ask("list_object_versions", Prefix=key, MaxKeys=10).get("DeleteMarkers", ())
        return next(
            ({"Key": key, "VersionId": each["VersionId"]} for each in found if each["IsLatest"] and each["Key"] == key),
            None,
        )

    def _repository_objects(self, operation: str, field: str, name: str) -> Iterator[dict[str, Any]]:
        """What makes a repository: names that begin so are its parts, and no repository of a deeper name."""
        marks: dict[str, Any] = {}
        while True:
            page = self._ask(operation, Prefix=f"{self._root}{keys.repository_folder(name)}/_", **marks)
            yield from page.get(field, ())
            if not page.get("IsTruncated"):
                return
            if operation == "list_objects_v2":
                marks = {"ContinuationToken": page["NextContinuationToken"]}
            else:
                marks = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def _delete(self, objects: list[dict[str, str]]) -> Result:
        """Delete objects; those with a passing error are asked for again, the others are answered for each key."""
        result, left = Result(), list(range(len(objects)))
        why: dict[int, str] = {}
        for attempt in range(TRIES):
            try:
                answer = self._ask("delete_objects", Delete={"Objects": [objects[place] for place in left]})
            except StorageError as error:
                result.problem, why = error, dict.fromkeys(left, f"its end is not known: {error}")
                break
            why = self._take(answer, objects, left, result)
            left = list(why)
            if not left or attempt == TRIES - 1 or not self._pause(attempt):
                break
            self._count(retries=1)
        for place, text in why.items():
            result.fail(place, text)
        return result

    @staticmethod
    def _take(
        answer: dict[str, Any], objects: Sequence[dict[str, str]], asked: Sequence[int], result: Result
    ) -> dict[int, str]:
        """Note what failed for good; returns the places that have to be asked for again, and why."""
        problems = {each["Key"]: each for each in answer.get("Errors", ())}
        told = {each["Key"] for each in answer.get("Deleted", ())}
        again = {}
        for place in asked:
            key = objects[place]["Key"]
            problem = problems.get(key)
            if problem is None:
                if key not in told:
                    again[place] = "the answer does not name it"
                continue
            text = f"{problem.get('Code', '')}: {problem.get('Message', '')}".strip(": ")
            if problem.get("Code") in PASSING:
                again[place] = text
            else:
                result.fail(place, text)
        return again

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Ask the store; again, after a pause, when it is busy or the connection was cut."""
        call: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        for attempt in range(TRIES):
            self._count(requests=1)
            try:
                return call(Bucket=self._configuration.bucket, **arguments)
            except ClientError as error:
                code = str(error.response.get("Error", {}).get("Code", ""))
                status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
                if code not in PASSING and status not in PASSING:
                    raise StorageError(f"{self.text()}: {error} {_HINTS.get(code, '')}".strip()) from error
                problem: Exception = error
            except SSLError as error:
                raise StorageError(f"{self.text()}: {error} {_HINTS['SSLError']}") from error
            except (HTTPClientError, exceptions.ConnectionError, ResponseParserError) as error:
                # The connection was cut, perhaps in mid-answer: whether it was done is asked by asking again.
                problem = error
            except BotoCoreError as error:
                raise StorageError(f"{self.text()}: {error}") from error
            if attempt == TRIES - 1 or not self._pause(attempt):
                break
            self._count(retries=1)
        raise StorageError(f"{self.text()}: {operation} failed {attempt + 1} times: {problem}") from problem

    def _pause(self, attempt: int) -> bool:
        """Wait before the next try; False if the work is to end."""
        longest = min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
        return not self._stopping.wait(random.uniform(longest / 2, longest))  # noqa: S311 - so that not all come at once

    def _count(self, *, requests: int = 0, retries: int = 0) -> None:
        with self._counting:
            self._requests += requests
            self._retries += retries
