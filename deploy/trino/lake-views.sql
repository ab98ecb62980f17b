-- Rendered by `homma render`. The candles of the lake, with the columns of the views in views.sql:
-- `volume` is the size of trades where candles are made of them.
-- Create these views once `homma land` has created the tables: trino --file lake-views.sql
CREATE SCHEMA IF NOT EXISTS iceberg.lake;

CREATE OR REPLACE VIEW iceberg.lake.candle_1min
COMMENT 'candles of 1min, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_1min_iceberg;

CREATE OR REPLACE VIEW iceberg.lake.candle_5min
COMMENT 'candles of 5min, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_5min_iceberg;

CREATE OR REPLACE VIEW iceberg.lake.candle_10min
COMMENT 'candles of 10min, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_10min_iceberg;

CREATE OR REPLACE VIEW iceberg.lake.candle_15min
COMMENT 'candles of 15min, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_15min_iceberg;

CREATE OR REPLACE VIEW iceberg.lake.candle_30min
COMMENT 'candles of 30min, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_30min_iceberg;

CREATE OR REPLACE VIEW iceberg.lake.candle_1hour
COMMENT 'candles of 1hour, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_1hour_iceberg;

CREATE OR REPLACE VIEW iceberg.lake.candle_3hour
COMMENT 'candles of 3hour, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_3hour_iceberg;

CREATE OR REPLACE VIEW iceberg.lake.candle_4hour
COMMENT 'candles of 4hour, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_4hour_iceberg;

CREATE OR REPLACE VIEW iceberg.lake.candle_1day
COMMENT 'candles of 1day, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_1day_iceberg;

CREATE OR REPLACE VIEW iceberg.lake.candle_1week
COMMENT 'candles of 1week, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_1week_iceberg;

CREATE OR REPLACE VIEW iceberg.lake.candle_1month
COMMENT 'candles of 1month, one row per candle, including open candles'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, coalesce(traded_volume, volume) AS volume, coalesce(tick_count, volume) AS tick_count, turnover, CAST(turnover AS double) / CAST(nullif(traded_volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM iceberg.market_data.candle_1month_iceberg;
