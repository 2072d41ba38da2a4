"""Which code runs: the commit that models and benchmark figures carry."""

import os
import subprocess
from pathlib import Path


def git_commit() -> str:
    """`NIGHTSHIFT_GIT_COMMIT`, which images set, else what git says of this tree, else `unknown`.

    Asked when it is needed: a stack on a laptop outlives many commits.
    """
    if commit := os.environ.get("NIGHTSHIFT_GIT_COMMIT"):
        return commit
    try:
        said = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip()
