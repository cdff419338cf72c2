"""The entry of workers that perform their runs in threads: `celery -A taskhub.threads worker --pool solo`.

Celery's own thread has nothing to do but to notify those of `taskhub.runs.queue.worker_threads`.
"""

import logging
import sys

from taskhub.celery import app
from taskhub.db.connections import use_pool

app.conf.runs_in_threads = True
# Each message is told of twice, which costs more than all the rest of it and says nothing of a run.
for name in ("celery.worker.strategy", "celery.app.trace"):
    logging.getLogger(name).setLevel(logging.WARNING)
# Celery's own thread starts those of the runs, and the keeper's interrupts them: with Python's 5 ms each would wait for
# all that compute, as in `taskhub.asgi`.
sys.setswitchinterval(0.001)
use_pool(factor=2)  # walks in sequences hold a connection for their whole length

__all__ = ["app"]
