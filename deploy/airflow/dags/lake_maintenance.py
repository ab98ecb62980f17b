"""Compact small files, expire snapshots and remove orphan files, if older than an hour."""

from datetime import UTC, datetime

from airflow.sdk import dag, task
from programs import FILES, dbt


@dag(
    schedule="40 3 * * *",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    # A commit of `homma land` may conflict; a retry succeeds.
    default_args={"retries": 3},
    params={"older_than": "1d"},
    tags=["homma"],
    doc_md=__doc__,
)
def lake_maintenance() -> None:
    @task
    def optimize() -> None:
        dbt("run-operation", "optimize")

    @task
    def expire_snapshots(params: dict[str, str]) -> None:
        dbt(
            "run-operation", "expire_snapshots", "--args", f"{{older_than: {params['older_than']}}}"
        )

    @task(outlets=[FILES])
    def remove_orphan_files(params: dict[str, str]) -> None:
        dbt(
            "run-operation",
            "remove_orphan_files",
            "--args",
            f"{{older_than: {params['older_than']}}}",
        )

    optimize() >> expire_snapshots() >> remove_orphan_files()


lake_maintenance()
