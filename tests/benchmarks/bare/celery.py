"""Celery with one task that does nothing; prefetch and acknowledgement as in taskhub."""

import os

from celery import Celery

app = Celery("bare", broker=os.environ["BARE_BROKER_URL"], backend=os.environ.get("BARE_RESULTS_URL"))
app.conf.update(
    task_default_queue="bare",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_ignore_result="BARE_RESULTS_URL" not in os.environ,
    result_expires=60,
)


@app.task(name="bare.noop")
def noop(item: str) -> str:
    return item
