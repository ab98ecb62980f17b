"""Build dbt's views, marts and tests over the lake: hourly, and after a repair of candles."""

from datetime import UTC, datetime

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, dag, task
from programs import MARTS, REPAIRED, dbt


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("10 * * * *", timezone="UTC"), assets=[REPAIRED]
    ),
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1},
    tags=["homma"],
    doc_md=__doc__,
)
def candle_marts() -> None:
    @task(outlets=[MARTS])
    def build() -> None:
        dbt("build", "--exclude", "tag:land")

    build()


candle_marts()
