"""The command line, `pgq-core`: one file per group of commands."""

from pgq_core.cli.acting import cancel, retry
from pgq_core.cli.batches import batch, chain
from pgq_core.cli.bulk import delete, redrive
from pgq_core.cli.doctor import doctor
from pgq_core.cli.enqueue import enqueue
from pgq_core.cli.failures import run
from pgq_core.cli.group import commands
from pgq_core.cli.maintain import pause, prune, resume
from pgq_core.cli.reading import jobs, show
from pgq_core.cli.schedules import schedules
from pgq_core.cli.setup import install, uninstall, upgrade
from pgq_core.cli.watching import health, stats
from pgq_core.cli.worker import worker

for _command in (
    install, upgrade, uninstall, worker, enqueue, batch, chain, jobs, show, retry, cancel, delete,
    redrive, pause, resume, stats, schedules, prune, health, doctor,
):  # fmt: skip
    commands.add_command(_command)

__all__ = ["commands", "run"]
