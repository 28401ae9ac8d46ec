"""The registry's storage as the pruner sees it in a bucket: its ``s3aws`` driver.

After github.com/distribution/distribution v3, registry/storage/driver/s3-aws: a walk lists pages of a thousand keys and
makes up the folders, a stat is a list of one key, a delete is a list of what is below the path and one
``DeleteObjects``. So an orphan takes three requests at least, as the real one does (measured: 3.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.base.object_storage import Bucket
from sandbox.registry.hard_pruner.driver import PathNotFoundError, RegistryError

NAME = "s3aws"


class BucketDriver:
    """The same as :class:`sandbox.registry.hard_pruner.driver.FilesystemDriver`, in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        self._bucket = bucket.name
        self._client: Any = bucket.client()
        self._errors = (BotoCoreError, ClientError)

    def shown(self, path: str) -> str:
        """The path as messages name it."""
        return path

    def content(self, path: str) -> str:
        """The text of a small object.

        :raises PathNotFoundError, RegistryError:
        """
        with self._told():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=path.lstrip("/"))
            except self._client.exceptions.NoSuchKey:
                raise PathNotFoundError(path, NAME) from None
            return str(answer["Body"].read().decode(errors="replace"))

    def size(self, path: str) -> int:
        """Bytes of an object.

        :raises PathNotFoundError, RegistryError:
        """
        key = path.lstrip("/")
        with self._told():
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1).get("Contents", ())
        for each in found:
            if each["Key"] == key:
                return int(each["Size"])
        raise PathNotFoundError(path, NAME)

    def delete(self, path: str, *, refused: OSError | None = None) -> None:
        """Remove an object, or all that is below a path.

        :param refused: an ordered fault: fail so.
        :raises PathNotFoundError, RegistryError:
        """
        if refused is not None:
            raise RegistryError(f"{NAME}: AccessDenied: {refused.strerror}")
        key_itself = path.lstrip("/")
        found = (key for page in self._pages(path) for key in page)
        # The prefix alone would take the neighbour whose name begins so.
        keys = [key for key in found if key == key_itself or key.startswith(f"{key_itself}/")]
        if not keys:
            raise PathNotFoundError(path, NAME)
        for first in range(0, len(keys), 1000):
            objects = [{"Key": key} for key in keys[first : first + 1000]]
            with self._told():
                self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})

    @contextmanager
    def walking(self, path: str) -> Iterator[None]:
        """Around the use of :meth:`walk`: names the driver in errors, its own and those of the work done."""
        try:
            yield
        except PathNotFoundError:
            raise
        except RegistryError as error:
            raise RegistryError(f"{NAME}: {error}") from None

    def walk(self, path: str, *, enter_hidden: bool = True) -> Iterator[tuple[str, bool]]:
        """Everything below a path in the order of keys: path, and whether it is a folder.

        :param enter_hidden: go into folders whose name starts with an underscore as well.
        :raises PathNotFoundError: there is nothing.
        """
        told: set[str] = set()
        found = False
        for page in self._pages(f"{path}/"):
            for key in page:
                found = True
                yield from self._entries(path, f"/{key}", told, enter_hidden)
        if not found:
            raise PathNotFoundError(path, NAME)

    def vanished(self, path: str) -> RegistryError:
        """What an object answers that is removed at that moment."""
        return PathNotFoundError(path, NAME)

    @staticmethod
    def _entries(root: str, key: str, told: set[str], enter_hidden: bool) -> Iterator[tuple[str, bool]]:
        place = root
        *folders, name = key.removeprefix(f"{root}/").split("/")
        for folder in folders:
            place = f"{place}/{folder}"
            if place not in told:
                told.add(place)
                yield place, True
            if folder.startswith("_") and not enter_hidden:
                return
        yield f"{place}/{name}", False

    def _pages(self, prefix: str) -> Iterator[list[str]]:
        marks: dict[str, Any] = {}
        while True:
            with self._told():
                page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix.lstrip("/"), **marks)
            yield [each["Key"] for each in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return
            marks = {"ContinuationToken": page["NextContinuationToken"]}

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise RegistryError(f"{NAME}: {error}") from None
