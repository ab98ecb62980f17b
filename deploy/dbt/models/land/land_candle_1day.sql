-- Rendered by `homma render` from src/homma/rendered/dbt.py: change that.
{{ config(alias='candle_1day_iceberg') }}
{{ landed_candles_of('1day') }}
