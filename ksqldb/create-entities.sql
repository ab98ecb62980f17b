-- Rendered by `homma render` from src/homma/rendered/ksqldb.py: edit that file instead.
-- Candles in ksqlDB, with limits. Not run on ksqlDB: see terraform/ksql/README.md.
-- Differences from homma's own engine and from Flink:
-- - Duplicates count again: ksqlDB cannot recognize them.
-- - isFinal and revision are missing; readers work out finality, as they do with Flink.
-- - Event time has milliseconds: number orders ticks within a millisecond.
-- - dateTime must have three fractional digits and no Z. Other ticks and invalid ticks are left
--   out, with an entry in the processing log. There are no dead letters and no late topic.
-- - A tick counts in a window until the stream time (of its partition, over all series) is
--   GRACE PERIOD past the end of the window: a series behind the others may lose ticks.
-- - Windows shorter than a minute accept late ticks for up to a minute longer.
-- - Weeks and months are groups, not windows: they accept ticks of any age and keep their state.
-- - Keys of windows end with eight binary bytes. Readers use the value.
-- - Candles are made of quotes: trades without a quote are left out. The turnover of trades would
--   not be exact: a DECIMAL has 38 digits, a price times a size up to 47. The stream has price,
--   size and side for queries over the trades themselves.
-- - A size has at most 12 digits after the point, and a record that has more may be left out, even
--   if they are zeros. An invalid price, size or side does not make a quote invalid otherwise.
-- Open and close go by event time: the order key is a text of fixed width with time, number and
-- price. The largest order key is the last tick; for the first tick, time and number count down.

SET 'auto.offset.reset' = 'earliest';

CREATE STREAM stock_ticks (
  `source` VARCHAR,
  `symbol` VARCHAR,
  `ask` DOUBLE,
  `bid` DOUBLE,
  `mid` DOUBLE,
  `price` DOUBLE,
  `size` DECIMAL(30, 12),
  `side` VARCHAR,
  `number` BIGINT,
  `dateTime` VARCHAR
) WITH (
  KAFKA_TOPIC = 'stock_ticks',
  VALUE_FORMAT = 'JSON',
  TIMESTAMP = '`dateTime`',
  TIMESTAMP_FORMAT = 'yyyy-MM-dd''T''HH:mm:ss.SSS'
);

CREATE TABLE candle_1min WITH (
  KAFKA_TOPIC = 'candle_1min',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(WINDOWSTART), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WINDOW TUMBLING (SIZE 1 MINUTES, RETENTION 87060 SECONDS, GRACE PERIOD 600 SECONDS)
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`
EMIT CHANGES;

CREATE TABLE candle_5min WITH (
  KAFKA_TOPIC = 'candle_5min',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(WINDOWSTART), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WINDOW TUMBLING (SIZE 5 MINUTES, RETENTION 87300 SECONDS, GRACE PERIOD 600 SECONDS)
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`
EMIT CHANGES;

CREATE TABLE candle_10min WITH (
  KAFKA_TOPIC = 'candle_10min',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(WINDOWSTART), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WINDOW TUMBLING (SIZE 10 MINUTES, RETENTION 87600 SECONDS, GRACE PERIOD 600 SECONDS)
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`
EMIT CHANGES;

CREATE TABLE candle_15min WITH (
  KAFKA_TOPIC = 'candle_15min',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(WINDOWSTART), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WINDOW TUMBLING (SIZE 15 MINUTES, RETENTION 87900 SECONDS, GRACE PERIOD 600 SECONDS)
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`
EMIT CHANGES;

CREATE TABLE candle_30min WITH (
  KAFKA_TOPIC = 'candle_30min',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(WINDOWSTART), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WINDOW TUMBLING (SIZE 30 MINUTES, RETENTION 88800 SECONDS, GRACE PERIOD 600 SECONDS)
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`
EMIT CHANGES;

CREATE TABLE candle_1hour WITH (
  KAFKA_TOPIC = 'candle_1hour',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(WINDOWSTART), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WINDOW TUMBLING (SIZE 60 MINUTES, RETENTION 90600 SECONDS, GRACE PERIOD 600 SECONDS)
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`
EMIT CHANGES;

CREATE TABLE candle_3hour WITH (
  KAFKA_TOPIC = 'candle_3hour',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(WINDOWSTART), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WINDOW TUMBLING (SIZE 180 MINUTES, RETENTION 97800 SECONDS, GRACE PERIOD 600 SECONDS)
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`
EMIT CHANGES;

CREATE TABLE candle_4hour WITH (
  KAFKA_TOPIC = 'candle_4hour',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(WINDOWSTART), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WINDOW TUMBLING (SIZE 240 MINUTES, RETENTION 101400 SECONDS, GRACE PERIOD 600 SECONDS)
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`
EMIT CHANGES;

CREATE TABLE candle_1day WITH (
  KAFKA_TOPIC = 'candle_1day',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(WINDOWSTART), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WINDOW TUMBLING (SIZE 1440 MINUTES, RETENTION 173400 SECONDS, GRACE PERIOD 600 SECONDS)
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`
EMIT CHANGES;

CREATE TABLE candle_1week WITH (
  KAFKA_TOPIC = 'candle_1week',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  (ROWTIME - 345600000) / 604800000 AS `keyStart`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(((ROWTIME - 345600000) / 604800000) * 604800000 + 345600000), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`, (ROWTIME - 345600000) / 604800000
EMIT CHANGES;

CREATE TABLE candle_1month WITH (
  KAFKA_TOPIC = 'candle_1month',
  KEY_FORMAT = 'JSON',
  VALUE_FORMAT = 'JSON'
) AS
SELECT
  `source` AS `keySource`,
  `symbol` AS `keySymbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(ROWTIME), 'yyyy-MM', 'UTC') AS `keyStart`,
  AS_VALUE(`source`) AS `source`,
  AS_VALUE(`symbol`) AS `symbol`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(ROWTIME), 'yyyy-MM', 'UTC') || '-01T00:00:00.000' AS `dateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `open`,
  MAX(`mid`) AS `high`,
  MIN(`mid`) AS `low`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 33) AS DOUBLE) AS `close`,
  COUNT(*) AS `volume`,
  COUNT(*) AS `tickCount`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(9999999999999 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `openDateTime`,
  9223372036854775807 - CAST(SUBSTRING(TOPK(LPAD(CAST((9999999999999 - ROWTIME) AS VARCHAR), 13, '0') || LPAD(CAST((9223372036854775807 - `number`) AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `openNumber`,
  FORMAT_TIMESTAMP(FROM_UNIXTIME(CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 1, 13) AS BIGINT)), 'yyyy-MM-dd''T''HH:mm:ss.SSS', 'UTC') AS `closeDateTime`,
  CAST(SUBSTRING(TOPK(LPAD(CAST(ROWTIME AS VARCHAR), 13, '0') || LPAD(CAST(`number` AS VARCHAR), 19, '0') || CAST(`mid` AS VARCHAR), 1)[1], 14, 19) AS BIGINT) AS `closeNumber`
FROM stock_ticks
WHERE `source` IS NOT NULL
  AND `symbol` IS NOT NULL
  AND `ask` > 0
  AND `bid` > 0
  AND `mid` > 0
  AND `number` >= 0
GROUP BY `source`, `symbol`, FORMAT_TIMESTAMP(FROM_UNIXTIME(ROWTIME), 'yyyy-MM', 'UTC')
EMIT CHANGES;
