"""The functions of `/js/<api>` and `/js_admin/<api>`, registered by being imported."""

from walkers.http.calls import aliases, graphs, masters, objects, sentinels, walker_queue, walker_runs, walker_schedules

__all__ = ["aliases", "graphs", "masters", "objects", "sentinels", "walker_queue", "walker_runs", "walker_schedules"]
