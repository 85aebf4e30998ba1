"""`python -m benchmarks.peers.npm FOLDER`: install the peers of Node there, if npm is here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Install what package.json pins; without npm these peers have dashes in the table."""
    folder, npm = Path(sys.argv[1]), shutil.which("npm")
    if npm is None:
        print("npm is not here: no peers of Node")
        return
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("package.json"), folder)
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=False)


if __name__ == "__main__":
    main()
