"""``python -m local_airflow connection``: the Airflow connection to a cluster, with a token of its own, as JSON.

Only ``kubectl`` talks to the cluster, as whoever is logged in; nothing is kept on this machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from local_airflow.errors import LocalAirflowError

KUBECTL = Path(sys.executable).parent / "kubectl"
ACCOUNT = "registry-prune"
_PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class TokenOrder:
    """For which account a token is made.

    :param kubeconfig: None: what kubectl takes by itself.
    :param context: of the kubeconfig; None: its current one.
    :param duration: how long the token is asked to last, as kubectl takes it.
    """

    kubeconfig: str | None
    context: str | None
    namespace: str
    duration: str


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("--kubeconfig", help="the kubeconfig (what kubectl takes by itself)")
    command.add_argument("--context", help="its context (its current one)")
    command.add_argument("--namespace", default=ACCOUNT, help=f"namespace of the account {ACCOUNT} (%(default)s)")
    command.add_argument("--duration", default="8760h", help="how long the token is to last (%(default)s)")


def print_connection(order: TokenOrder, *, out: TextIO, said: TextIO) -> None:
    """Make a token, and print the connection.

    :param out: gets the connection, and nothing else.
    :param said: gets when the token expires.
    :raises LocalAirflowError: if kubectl does not give what is needed.
    """
    view = _kubectl(order, "config", "view", "--minify", "--flatten", "--raw", "-o", "json")
    asked = ("create", "token", ACCOUNT, f"--namespace={order.namespace}", f"--duration={order.duration}", "-o", "json")
    status = _kubectl(order, *asked)["status"]
    cluster = view["clusters"][0]["cluster"]
    out.write(json.dumps(connection(cluster, status["token"]), indent=2) + "\n")
    ends = datetime.fromisoformat(status["expirationTimestamp"])
    days = (ends - datetime.now(UTC)).days
    said.write(
        f"The token, for {cluster['server']}, expires at {ends.astimezone(UTC):%Y-%m-%d %H:%M UTC}, in {days} days "
        f"({order.duration} were asked for). Runs and guards warn before that (setting token_warning). To renew it: "
        "the same once more, into the same Airflow connection.\n"
    )


def connection(cluster: dict[str, Any], token: str) -> dict[str, Any]:
    """The connection (pure).

    :param cluster: the entry of a kubeconfig: server, authority, proxy.
    """
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    return {"conn_type": "kubernetes", "extra": {"kube_config": kubeconfig}}


def _kubectl(order: TokenOrder, *arguments: str) -> dict[str, Any]:
    chosen = [
        *([f"--kubeconfig={order.kubeconfig}"] if order.kubeconfig else []),
        *([f"--context={order.context}"] if order.context else []),
    ]
    done = subprocess.run(
        [KUBECTL, *chosen, *arguments], capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
    )
    if done.returncode != 0:
        raise LocalAirflowError(
            f"kubectl {' '.join(arguments[:3])}: {done.stderr.strip()}. Is the context right, does it have the account "
            "(oc apply -f deploy/rbac.yaml), and may you make tokens for it?"
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
