"""`python -m pgq_core`, and the console script `pgq-core`: where the commands meet."""

from __future__ import annotations

import sys

NEEDS = ("click", "rich")


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        # Here, because click and rich are optional.
        from pgq_core.cli import commands, run  # noqa: PLC0415
        from pgq_core.demo.command import demo  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDS:
            raise
        sys.stderr.write(
            f"pgq-core: {error.name} is not installed; "
            "the command line needs: pip install 'pgq-suite[cli]'\n"
        )
        sys.exit(2)
    commands.add_command(demo)
    sys.exit(run(commands))


if __name__ == "__main__":
    main()
