"""Recompute candles from the lake's ticks; repair and verify again if they differ."""

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
    # The value of `homma verify --from`; empty: everything.
    params={"since": "24h"},
    tags=["homma"],
    doc_md=__doc__,
)
def verify_candles() -> None:
    def from_flag(params: dict[str, str]) -> list[str]:
        return ["--from", params["since"]] if params["since"] else []

    @task
    def verify(params: dict[str, str]) -> int:
        return int(homma("verify", *from_flag(params))["wrong"])

    @task.short_circuit
    def differ(wrong: int) -> bool:
        return wrong > 0

    @task(outlets=[REPAIRED])
    def repair(params: dict[str, str]) -> dict[str, Any]:
        return homma("repair", *from_flag(params))["published"]

    @task
    def verify_again(params: dict[str, str]) -> None:
        result = homma("verify", *from_flag(params))
        if result["wrong"]:
            raise AirflowFailException(
                f"{result['wrong']} candles are still wrong after a repair, for example "
                f"{result['examples']}"
            )

    differ(verify()) >> repair() >> verify_again()


verify_candles()
