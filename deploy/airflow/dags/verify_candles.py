"""Candles recomputed from the lake's ticks; where they differ, repaired and looked at again."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException
from programs import REPAIRED, homma


@dag(
    schedule="25 * * * *",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2},
    # As `homma verify --from` has it; empty: all there is.
    params={"since": "24h"},
    tags=["homma"],
    doc_md=__doc__,
)
def verify_candles() -> None:
    def span(params: dict[str, str]) -> list[str]:
        return ["--from", params["since"]] if params["since"] else []

    @task
    def verify(params: dict[str, str]) -> int:
        return int(homma("verify", *span(params))["wrong"])

    @task.short_circuit
    def differ(wrong: int) -> bool:
        return wrong > 0

    @task(outlets=[REPAIRED])
    def repair(params: dict[str, str]) -> dict[str, Any]:
        return homma("repair", *span(params))["published"]

    @task
    def verify_again(params: dict[str, str]) -> None:
        found = homma("verify", *span(params))
        if found["wrong"]:
            raise AirflowFailException(
                f"{found['wrong']} candles are wrong after a repair too, such as "
                f"{found['examples']}"
            )

    differ(verify()) >> repair() >> verify_again()


verify_candles()
