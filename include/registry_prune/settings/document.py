"""``docs/settings.md``, ``clusters.example.yaml`` and ``clusters.schema.json``, from the settings themselves (pure).

``python -m include.registry_prune.settings.document`` says which of them is out of date; ``--write`` writes them.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from include.registry_prune.settings.ceilings import CeilingSettings
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.parameters import RunParameters, one_line
from include.registry_prune.verdict.evidence import Ceiling

PROJECT = Path(__file__).parents[3]
PAGE = PROJECT / "docs" / "settings.md"
EXAMPLE = PROJECT / "clusters.example.yaml"
SCHEMA = PROJECT / "clusters.schema.json"

TABLES: dict[str, type[BaseModel]] = {
    "setting": ClusterSettings,
    "ceiling": CeilingSettings,
    "parameter": RunParameters,
}
"""What the first column of each table is called, and what the table tells."""
_WITHOUT_LIMIT = {
    Ceiling.MISSING_STORAGE: "A run stops if the pruner found no repositories: the storage is not mounted, or nobody "
    "ever pushed to the registry.",
    Ceiling.OTHER_CLUSTER: "A run stops if the connection leads to another cluster than that of the last run.",
    Ceiling.RENEWED_IMAGES: "A run stops if every Image is younger than the last run: those that it saw are lost.",
}
"""The ceilings that no setting raises."""
_MORE = {
    "dry_run_in_window": "architecture.md#why-the-storage-is-scanned-once",
    "window_limit": "#how-long-a-window-lasts",
    "restart_after_base_prune": "#after-a-base-prune",
    "opening_hours": "#the-right-moment",
    "moment_wait": "#the-right-moment",
    "after": "#the-right-moment",
    "windows_at_once": "#the-right-moment",
    "approval": "#approval",
    "artifacts": "#where-the-lists-are-kept",
    "keep_reports": "#history",
    "keep_lists": "#history",
    "alert_connection": "#alerts",
    "alert_channels": "#alerts",
    "alert_events": "#alerts",
    "ceilings": "#ceilings",
    "parameters": "#parameters-of-a-run",
}
"""Where the page tells more."""
_NO_VALUE = {
    "opening_hours": "always",
    "artifacts": "below `AIRFLOW_HOME`",
    "alert_connection": "none",
    "alert_endpoint": "none",
    "alert_channels": "none",
    "ceilings": "see there",
    "parameters": "see there",
    "keep_tag_revisions": "the ImagePruner's",
    "keep_younger_than": "the ImagePruner's",
    "pass_ceilings": "none",
}
"""Defaults that the page names otherwise than by their value."""
_WIDTH = 110
_HEAD = """\
# yaml-language-server: $schema=clusters.schema.json
#
# Every setting of a cluster, with its default. docs/settings.md tells more.
#
# Copy this file to clusters.yaml, beside it, and take the "# " from the lines that you want to change; lines with "##"
# are text. Each entry of the file is one cluster and makes two DAGs: registry_prune and registry_guard for the entry
# `default`, registry_prune_NAME and registry_guard_NAME for any other. What several clusters share may stand once, in
# an entry `defaults`, which is no cluster. `make docs` writes this file.

default:
"""


def table(kind: str) -> str:
    """One table of the page.

    :param kind: of :data:`TABLES`.
    """
    rows = [f"| {kind} | default | meaning |", "| --- | --- | --- |"]
    for name, field in _fields(TABLES[kind]):
        more = f" [More]({_MORE[name]})" if name in _MORE else ""
        rows.append(f"| `{name}` | {_written(name, field.default)} | {one_line(field.description)}{more} |")
    if TABLES[kind] is CeilingSettings:
        rows += [f"| `{name}` | – | {text} |" for name, text in _WITHOUT_LIMIT.items()]
    return "\n".join(rows)


def page(text: str) -> str:
    """The page with its tables made anew.

    :raises ValueError: if a table's marks are not in it.
    """
    for kind in TABLES:
        begin, end = f"<!-- {kind}s: written by make docs -->\n", f"\n<!-- end of {kind}s -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{PAGE}: it should have {begin.strip()} and {end.strip()} once each")
        before, rest = text.split(begin)
        text = f"{before}{begin}{table(kind)}{end}{rest.split(end)[1]}"
    return text


def example() -> str:
    """``clusters.example.yaml``: every setting as a comment, below what it is for."""
    lines = [line if line.startswith("##") else f"# {line}" for line in _entries(ClusterSettings())]
    return _HEAD + "".join(f"  {line}\n" if line != "# " else "\n" for line in lines)


def schema() -> str:
    """``clusters.schema.json``: for editors, which show the settings and mark what is wrong while one types.

    What has a form of its own beyond a pattern (opening hours, time zones) is checked when the file is read.
    """
    whole = ClusterSettings.model_json_schema()
    definitions = whole.pop("$defs")
    name = whole["properties"].pop("name")["pattern"]
    whole["title"] = "A cluster"
    written = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "clusters.yaml: one entry for each cluster, and what they share in an entry `defaults`",
        "type": "object",
        "minProperties": 1,
        "patternProperties": {name: {"anyOf": [{"$ref": "#/$defs/Cluster"}, {"type": "null"}]}},
        "additionalProperties": False,
        "$defs": {"Cluster": whole, **definitions},
    }
    return json.dumps(_on_one_line(written), indent=2, ensure_ascii=False) + "\n"


def _on_one_line(value: Any) -> Any:
    """A schema with each description on one line."""
    if isinstance(value, list):
        return [_on_one_line(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: one_line(each).replace("``", "`") if name == "description" else _on_one_line(each)
        for name, each in value.items()
    }


def _entries(settings: BaseModel) -> Iterator[str]:
    """The lines of an entry of ``clusters.yaml``."""
    values = settings.model_dump(mode="json")
    for name, field in _fields(type(settings)):
        yield ""
        yield from textwrap.wrap(one_line(field.description), _WIDTH, initial_indent="## ", subsequent_indent="## ")
        if isinstance(field.default, BaseModel):
            yield f"{name}:"
            yield from textwrap.indent("\n".join(_entries(field.default)), "  ").split("\n")
        else:
            yield f"{name}: {json.dumps(values[name])}"


def _fields(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return [(name, field) for name, field in model.model_fields.items() if name != "name"]


def _written(name: str, default: Any) -> str:
    """A default as the page writes it."""
    if name in _NO_VALUE:
        return _NO_VALUE[name]
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def main(arguments: list[str] | None = None) -> int:
    """Compare the files with the settings, or write them.

    :return: exit status: 1 if a file is out of date and was not written.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files instead of comparing them")
    options = parser.parse_args(arguments)
    status = 0
    for file, wanted in ((PAGE, page(PAGE.read_text(encoding="utf-8"))), (EXAMPLE, example()), (SCHEMA, schema())):
        found = file.read_text(encoding="utf-8") if file.exists() else ""
        if options.write:
            file.write_text(wanted, encoding="utf-8")
        elif found != wanted:
            status = 1
            lines = difflib.unified_diff(found.splitlines(), wanted.splitlines(), str(file), "as the settings are")
            sys.stdout.write("\n".join([*lines, f"{file} is out of date: make docs", ""]))
    return status


if __name__ == "__main__":
    sys.exit(main())
