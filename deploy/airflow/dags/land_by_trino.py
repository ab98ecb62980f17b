"""Candles from Kafka into the lake by Trino, each minute, where HOMMA_CANDLES_BY is trino.

Otherwise `homma land` lands them, and this refuses to.
"""

import os
from datetime import UTC, datetime

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException
from programs import CANDLES, dbt

CHOSEN = os.environ.get("HOMMA_CANDLES_BY", "homma") == "trino"


@dag(
    schedule="* * * * *" if CHOSEN else None,
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
        if not CHOSEN:
            raise AirflowFailException(
                "`homma land` lands the candles here: set HOMMA_CANDLES_BY=trino for it and for "
                "Airflow, so that not both do"
            )
        dbt("run", "--select", "tag:land")

    land()


land_by_trino()
