"""A DAG without tasks: what every DAG file costs."""

from __future__ import annotations

from airflow.sdk import DAG

dag = DAG("empty")
