"""Checks Helm values against the JSON schema of Airflow's official chart: ``make chart SCHEMA=values.schema.json``.

The schema is in the chart's archive (``helm pull apache-airflow/airflow --untar``). Helm checks by it too, but says
nothing of a name that it does not know: such a value is simply not used. This names it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

FOLDER = Path(__file__).parents[1] / "deploy"
VALUES = FOLDER / "values.yaml"
CODE = (("image",), ("image", "git-sync"))
EXECUTORS = ((), ("celery",), ("kubernetes",))
BESIDE = ("connection", "clusters-file", "logs-in-bucket", "below-a-path", "openshift")
"""What goes with each of the others."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, and say what is wrong.

    :return: the exit status: 1 if something is wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m local_airflow.chart_values", description=__doc__)
    parser.add_argument("schema", type=Path, help="values.schema.json of the chart")
    parser.add_argument(
        "values", type=Path, nargs="*", help="files as for `helm -f`, in this order (deploy/values.yaml)"
    )
    options = parser.parse_args(arguments)
    schema = json.loads(options.schema.read_text(encoding="utf-8"))
    wrong = False
    for files in [options.values] if options.values else combinations():
        found = problems(merged(files), schema)
        wrong = wrong or bool(found)
        print(f"{'WRONG' if found else 'ok':5}  {' '.join(file.name for file in files)}")
        for problem in found:
            print(f"       {problem}")
    return int(wrong)


def combinations() -> list[list[Path]]:
    """The files of this folder, in every way in which docs/install.md puts them together."""
    return [
        [VALUES, *(FOLDER / "values" / f"{name}.yaml" for name in (*code, *executor, *BESIDE))]
        for code, executor in product(CODE, EXECUTORS)
    ]


def merged(files: Sequence[Path]) -> dict[str, Any]:
    """What Helm makes of several files: objects are merged, everything else is replaced by the later file."""
    values: dict[str, Any] = {}
    for file in files:
        _merge(values, yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    return values


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def problems(values: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """What the chart would refuse, and what it would not use; each with its place."""
    refused = [
        f"{_place(error.absolute_path)}: {error.message}" for error in Draft7Validator(schema).iter_errors(values)
    ]
    unused = [f"{_place(path)}: the chart knows no such value" for path in _unknown(values, schema, schema, ())]
    return sorted(refused) + sorted(unused)


def _place(path: Any) -> str:
    return ".".join(map(str, path)) or "the whole"


def _unknown(value: Any, schema: Any, root: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    schema = _resolved(schema, root)
    if not isinstance(value, dict) or not isinstance(schema, dict):
        return
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, each in value.items():
        if name in known:
            yield from _unknown(each, known[name], root, (*path, name))
        elif isinstance(others, dict):
            yield from _unknown(each, others, root, (*path, name))
        elif known and others is not False:  # else the schema refuses it itself
            yield (*path, name)


def _resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    """What ``$ref`` leads to, which the chart has beside descriptions."""
    while isinstance(schema, dict) and "$ref" in schema:
        found: Any = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = found
    return schema


if __name__ == "__main__":
    sys.exit(main())
