"""The storage driver of the stand-in for ``dockerregistry``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sandbox.registry.hard_pruner.driver import FilesystemDriver, RegistryError
from sandbox.registry.hard_pruner.logrus import Logger
from sandbox.registry.storage.layout import BLOBS_ROOT, StorageLayout, blob_path


def test_a_folder_that_vanishes_while_it_is_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = StorageLayout(tmp_path).write_blob(b"content")
    driver = FilesystemDriver(tmp_path, "/registry", Logger("error"))
    listdir = os.listdir

    def listdir_of_another_pruners_blob(path: str) -> list[str]:
        if path.endswith(digest.removeprefix("sha256:")):
            shutil.rmtree(path)
            return []  # the C library takes the folder that is gone for an empty one
        return listdir(path)

    monkeypatch.setattr(os, "listdir", listdir_of_another_pruners_blob)
    with (
        pytest.raises(RegistryError, match=rf"^filesystem: readdirent /registry{blob_path(digest)}: no such file"),
        driver.walking(BLOBS_ROOT),
    ):
        list(driver.walk(BLOBS_ROOT))
