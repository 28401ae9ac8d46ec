"""Airflow's dag-processor for one file: the real child process, answered by the real API over the test's database."""

from __future__ import annotations

import json
import signal
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from airflow.callbacks.callback_requests import DagCallbackRequest
from airflow.dag_processing.processor import (
    DagFileParsingResult,
    DagFileProcessorProcess,
    in_process_api_server,
)
from airflow.sdk.api.client import Client
from airflow.sdk.log import logging_processors

PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Processed:
    """What the dag-processor made of a file.

    :param parsed: what it would store; None if it was asked to run callbacks.
    :param log: its log, a message for each line.
    """

    parsed: DagFileParsingResult | None
    log: str


def process(file: Path, log_file: Path, callbacks: Sequence[DagCallbackRequest] = ()) -> Processed:
    """Let the dag-processor parse a file, or run callbacks of its DAGs, as its manager does.

    :param log_file: is written.
    """
    client = Client(base_url=None, token="", dry_run=True, transport=in_process_api_server().transport)
    client.base_url = "http://in-process.invalid./"
    with log_file.open("wb") as log:
        logger = structlog.wrap_logger(
            structlog.BytesLogger(log), processors=logging_processors(json_output=True), logger_name="processor"
        ).bind()
        child = DagFileProcessorProcess.start(
            id=uuid.uuid4(),
            path=file,
            bundle_path=file.parent,
            bundle_name="dags-folder",
            dag_file_rel_path=file.name,
            callbacks=list(callbacks),
            logger=logger,
            logger_filehandle=log,
            client=client,
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while not child.is_ready:
                assert time.monotonic() < deadline, f"the dag-processor did not come to its end: {log_file.read_text()}"
                child._service_subprocess(0.1)
        finally:
            child.kill(signal.SIGKILL)
            child.close()
    messages = [json.loads(line).get("event", "") for line in log_file.read_text(encoding="utf-8").splitlines()]
    return Processed(parsed=child.parsing_result, log="\n".join(messages))
