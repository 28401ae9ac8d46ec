"""The real kubectl, with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

KUBECTL_SECONDS = 60


@dataclass(frozen=True)
class Kubectl:
    """Runs the real kubectl."""

    kubeconfig: Path
    home: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        program = Path(sys.executable).parent / "kubectl"
        environment = {"HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig), "PATH": os.defpath}
        return subprocess.Popen(
            [str(program), *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        try:
            stdout, stderr = process.communicate(stdin, timeout=KUBECTL_SECONDS)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it, expect success, and hand back what it printed."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {arguments}: {done.stderr}"
        return done.stdout
