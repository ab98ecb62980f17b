"""Land candles from Kafka in the lake with Trino, every minute, if HOMMA_CANDLES_BY is trino.

Otherwise `homma land` lands the candles, and this DAG fails.
"""

import os
from datetime import UTC, datetime

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException
from programs import CANDLES, dbt

LANDS_BY_TRINO = os.environ.get("HOMMA_CANDLES_BY", "homma") == "trino"


@dag(
    schedule="* * * * *" if LANDS_BY_TRINO else None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    # A table has one writer.
    max_active_runs=1,
    default_args={"retries": 2},
    tags=["homma"],
    doc_md=__doc__,
)
def land_by_trino() -> None:
    @task(outlets=[CANDLES])
    def land() -> None:
        if not LANDS_BY_TRINO:
            raise AirflowFailException(
                "`homma land` lands the candles: to land them with Trino, "
                "set HOMMA_CANDLES_BY=trino for both `homma land` and Airflow"
            )
        dbt("run", "--select", "tag:land")

    land()


land_by_trino()
