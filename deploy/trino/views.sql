-- Rendered by `homma render`. The records of the last hour in the topics; a longer period takes
-- proportionally longer to read.
-- `homma up --with trino` creates these views; elsewhere: trino --file views.sql
CREATE SCHEMA IF NOT EXISTS iceberg.live;

CREATE OR REPLACE VIEW iceberg.live.stock_ticks
COMMENT 'valid ticks of the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, number, ask, bid, mid, price, size, side, receive_date_time, ask_markup, bid_markup, is_tradable, kafka_partition, kafka_offset
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(number AS bigint) AS number,
    try_cast(ask AS double) AS ask,
    try_cast(bid AS double) AS bid,
    try_cast(mid AS double) AS mid,
    try_cast(price AS double) AS price,
    IF(size IS NOT NULL, try_cast(json_extract_scalar(_message, '$.size') AS decimal(38, 12))) AS size,
    side,
    try_cast(replace(trim(TRAILING 'Z' FROM receive_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS receive_date_time,
    coalesce(try_cast(ask_markup AS double), 0e0) AS ask_markup,
    coalesce(try_cast(bid_markup AS double), 0e0) AS bid_markup,
    coalesce(try_cast(is_tradable AS boolean), true) AS is_tradable,
    CAST(_partition_id AS integer) AS kafka_partition,
    _partition_offset AS kafka_offset,
    with_timezone(_timestamp, 'UTC') AS taken
  FROM kafka.market_data.stock_ticks
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR AND
    try(json_parse(_message)) IS NOT NULL AND
    regexp_like(source, '^[^\p{Cc}"\\{}\[\]]{1,64}$') AND
    regexp_like(symbol, '^[^\p{Cc}"\\{}\[\]]{1,64}$') AND
    regexp_like(date_time, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z?$') AND
    coalesce(regexp_like(receive_date_time, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z?$'), true) AND
    (ask IS NULL OR try_cast(ask AS double) IS NOT NULL) AND
    (bid IS NULL OR try_cast(bid AS double) IS NOT NULL) AND
    (mid IS NULL OR try_cast(mid AS double) IS NOT NULL) AND
    (price IS NULL OR try_cast(price AS double) IS NOT NULL) AND
    (receive_date_time IS NULL OR try_cast(replace(trim(TRAILING 'Z' FROM receive_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) IS NOT NULL) AND
    (ask_markup IS NULL OR try_cast(ask_markup AS double) IS NOT NULL) AND
    (bid_markup IS NULL OR try_cast(bid_markup AS double) IS NOT NULL) AND
    (is_tradable IS NULL OR try_cast(is_tradable AS boolean) IS NOT NULL) AND
    (size IS NULL OR try_cast(json_extract_scalar(_message, '$.size') AS decimal(38, 20)) = try_cast(json_extract_scalar(_message, '$.size') AS decimal(38, 12)))
)
WHERE
  date_time >= TIMESTAMP '1970-01-01 00:00:00 UTC' AND
  date_time <= taken + INTERVAL '300' SECOND AND
  (is_finite(ask) AND ask > 0 AND is_finite(bid) AND bid > 0 AND is_finite(mid) AND mid > 0 OR price IS NOT NULL AND ask IS NULL AND bid IS NULL AND mid IS NULL) AND
  (price IS NULL OR price > 0 AND price < 1e12) AND
  (size IS NULL OR size >= 0 AND price IS NOT NULL) AND
  (side IS NULL OR side IN ('buy', 'sell') AND price IS NOT NULL) AND
  coalesce(abs(price * CAST(size AS double)) < 1e26, true) AND
  number >= 0;

CREATE OR REPLACE VIEW iceberg.live.candle_1min
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_1min
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;

CREATE OR REPLACE VIEW iceberg.live.candle_5min
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_5min
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;

CREATE OR REPLACE VIEW iceberg.live.candle_10min
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_10min
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;

CREATE OR REPLACE VIEW iceberg.live.candle_15min
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_15min
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;

CREATE OR REPLACE VIEW iceberg.live.candle_30min
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_30min
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;

CREATE OR REPLACE VIEW iceberg.live.candle_1hour
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_1hour
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;

CREATE OR REPLACE VIEW iceberg.live.candle_3hour
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_3hour
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;

CREATE OR REPLACE VIEW iceberg.live.candle_4hour
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_4hour
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;

CREATE OR REPLACE VIEW iceberg.live.candle_1day
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_1day
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;

CREATE OR REPLACE VIEW iceberg.live.candle_1week
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_1week
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;

CREATE OR REPLACE VIEW iceberg.live.candle_1month
COMMENT 'candles changed within the last hour'
SECURITY INVOKER
AS SELECT source, symbol, date_time, open, high, low, close, volume, tick_count, turnover, CAST(turnover AS double) / CAST(nullif(volume, 0) AS double) AS vwap, open_date_time, open_number, close_date_time, close_number, is_final, revision, update_date_time
FROM (
  SELECT
    source,
    symbol,
    try_cast(replace(trim(TRAILING 'Z' FROM date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS date_time,
    try_cast(open AS double) AS open,
    try_cast(high AS double) AS high,
    try_cast(low AS double) AS low,
    try_cast(close AS double) AS close,
    IF(turnover IS NULL, try_cast(volume AS bigint), try_cast(json_extract_scalar(_message, '$.volume') AS decimal(38, 12))) AS volume,
    coalesce(try_cast(tick_count AS bigint), try_cast(volume AS bigint)) AS tick_count,
    IF(turnover IS NOT NULL, try_cast(json_extract_scalar(_message, '$.turnover') AS decimal(38, 12))) AS turnover,
    try_cast(replace(trim(TRAILING 'Z' FROM open_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS open_date_time,
    try_cast(open_number AS bigint) AS open_number,
    try_cast(replace(trim(TRAILING 'Z' FROM close_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS close_date_time,
    try_cast(close_number AS bigint) AS close_number,
    try_cast(is_final AS boolean) AS is_final,
    try_cast(revision AS integer) AS revision,
    try_cast(replace(trim(TRAILING 'Z' FROM update_date_time), 'T', ' ') || ' UTC' AS timestamp(6) with time zone) AS update_date_time,
    turnover IS NOT NULL AS is_of_trades,
    row_number() OVER (PARTITION BY _partition_id, _key ORDER BY _partition_offset DESC) AS age
  FROM kafka.market_data.candle_1month
  WHERE
    _timestamp > CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3)) - INTERVAL '1' HOUR
)
WHERE
  age = 1 AND
  source IS NOT NULL AND
  symbol IS NOT NULL AND
  date_time IS NOT NULL AND
  open IS NOT NULL AND
  high IS NOT NULL AND
  low IS NOT NULL AND
  close IS NOT NULL AND
  volume IS NOT NULL AND
  (turnover IS NOT NULL) = is_of_trades;
