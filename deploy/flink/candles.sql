-- Rendered by `homma render` with the default settings; for others:
-- homma flink sql --bootstrap.servers kafka:9092 --checkpoints s3://lake/flink
SET 'pipeline.name' = 'homma homma stock_ticks';
SET 'parallelism.default' = '1';
SET 'table.local-time-zone' = 'UTC';
SET 'table.exec.state.ttl' = '3600000 ms';
SET 'table.exec.mini-batch.enabled' = 'true';
SET 'table.exec.mini-batch.allow-latency' = '1000 ms';
SET 'table.exec.mini-batch.size' = '1000000';
SET 'pipeline.object-reuse' = 'true';
SET 'state.backend.type' = 'rocksdb';
SET 'state.backend.rocksdb.use-bloom-filter' = 'true';
SET 'execution.checkpointing.interval' = '5000 ms';
SET 'execution.checkpointing.dir' = 's3://lake/flink/homma-stock_ticks';
SET 'execution.checkpointing.savepoint-dir' = 's3://lake/flink/homma-stock_ticks';
SET 'execution.checkpointing.incremental' = 'true';
SET 'execution.checkpointing.num-retained' = '2';
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
SET 'execution.checkpointing.tolerable-failed-checkpoints' = '10';
SET 'restart-strategy.type' = 'exponential-delay';

CREATE TABLE `ticks` (
  `source` STRING,
  `symbol` STRING,
  `ask` DOUBLE,
  `bid` DOUBLE,
  `mid` DOUBLE,
  `price` STRING,
  `size` STRING,
  `side` STRING,
  `number` BIGINT,
  `dateTime` STRING,
  `receiveDateTime` STRING,
  `askMarkup` STRING,
  `bidMarkup` STRING,
  `isTradable` STRING,
  `recorded` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
  `partition` INT METADATA,
  `offset` BIGINT METADATA,
  `arrived` AS PROCTIME()
) WITH (
  'connector' = 'kafka',
  'topic' = 'stock_ticks',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.group.id' = 'homma',
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'scan.topic-partition-discovery.interval' = '0',
  'format' = 'json',
  'json.ignore-parse-errors' = 'true'
);

CREATE TABLE `late` (
  `key` STRING,
  `source` STRING,
  `symbol` STRING,
  `ask` DOUBLE,
  `bid` DOUBLE,
  `mid` DOUBLE,
  `price` DOUBLE,
  `size` DECIMAL(38, 12),
  `side` STRING,
  `number` BIGINT,
  `dateTime` STRING,
  `receiveDateTime` STRING,
  `askMarkup` DOUBLE,
  `bidMarkup` DOUBLE,
  `isTradable` BOOLEAN,
  `headers` MAP<STRING NOT NULL, BYTES NOT NULL> METADATA,
  `recorded` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
  'connector' = 'kafka',
  'topic' = 'stock_ticks_late',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-late',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'raw',
  'key.fields' = 'key',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  'value.json.encode.ignore-null-fields' = 'true',
  'value.json.encode.decimal-as-plain-number' = 'true'
);

CREATE TABLE `candle_1min` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_1min',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-1min',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE TABLE `candle_5min` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_5min',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-5min',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE TABLE `candle_10min` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_10min',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-10min',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE TABLE `candle_15min` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_15min',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-15min',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE TABLE `candle_30min` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_30min',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-30min',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE TABLE `candle_1hour` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_1hour',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-1hour',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE TABLE `candle_3hour` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_3hour',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-3hour',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE TABLE `candle_4hour` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_4hour',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-4hour',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE TABLE `candle_1day` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_1day',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-1day',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE TABLE `candle_1week` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_1week',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-1week',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE TABLE `candle_1month` (
  `source` STRING,
  `symbol` STRING,
  `dateTime` STRING,
  `open` DOUBLE,
  `high` DOUBLE,
  `low` DOUBLE,
  `close` DOUBLE,
  `volume` BIGINT,
  `tickCount` BIGINT,
  `openDateTime` STRING,
  `openNumber` BIGINT,
  `closeDateTime` STRING,
  `closeNumber` BIGINT,
  `isFinal` BOOLEAN,
  `revision` INT,
  `updateDateTime` STRING,
  PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'candle_1month',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.security.protocol' = 'PLAINTEXT',
  'properties.reconnect.backoff.max.ms' = '1000',
  'properties.max.request.size' = '2097152',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'homma-homma-stock_ticks-1month',
  'properties.transaction.timeout.ms' = '900000',
  'key.format' = 'json',
  'value.format' = 'json'
);

CREATE VIEW `valid` AS
SELECT *
FROM (SELECT *, TRY_CAST(REPLACE(REPLACE(`dateTime`, 'T', ' '), 'Z', '') AS TIMESTAMP(6)) AS `at` FROM `ticks`)
WHERE REGEXP(`source`, '^[^\p{Cc}"\\{}\[\]]{1,64}\z')
  AND REGEXP(`symbol`, '^[^\p{Cc}"\\{}\[\]]{1,64}\z')
  AND `ask` > 0 AND `ask` <= 1.7976931348623157E308
  AND `bid` > 0 AND `bid` <= 1.7976931348623157E308
  AND `mid` > 0 AND `mid` <= 1.7976931348623157E308
  AND ((`price` IS NULL AND `size` IS NULL AND `side` IS NULL) OR ((`side` IS NULL OR `side` IN ('buy', 'sell')) AND CASE WHEN TRY_CAST(`price` AS DOUBLE) > 0 AND TRY_CAST(`price` AS DOUBLE) < 1E+12 AND (`size` IS NULL OR REGEXP(`size`, '^(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,12}0*)?\z') OR REGEXP(`size`, '^-?0(?:\.0+)?(?:[eE][+-]?[0-9]{1,9})?\z') OR (REGEXP(`size`, '^(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?\z') AND CHAR_LENGTH(SPLIT_INDEX(SPLIT_INDEX(UPPER(`size`), 'E', 0), '.', 0)) - CHAR_LENGTH(TRIM(TRAILING '0' FROM REPLACE(SPLIT_INDEX(UPPER(`size`), 'E', 0), '.', ''))) + COALESCE(CAST(SPLIT_INDEX(UPPER(`size`), 'E', 1) AS INT), 0) >= -12 AND TRY_CAST(`size` AS DECIMAL(30, 12)) >= 0)) THEN CASE WHEN ABS(TRY_CAST(`price` AS DOUBLE)) * TRY_CAST(COALESCE(`size`, '1') AS DOUBLE) < 9E25 THEN TRUE ELSE TRY_CAST('0' || CAST(CAST(REPLACE(SPLIT_INDEX(CAST(ABS(TRY_CAST(`price` AS DOUBLE)) AS STRING), 'E', 0), '.', '') AS DECIMAL(18, 0)) * CAST(SPLIT_INDEX(CAST(TRY_CAST(COALESCE(`size`, '1') AS DECIMAL(30, 12)) AS STRING), '.', 0) AS DECIMAL(18, 0)) + CAST(LEFT(LPAD(CAST(CAST(REPLACE(SPLIT_INDEX(CAST(ABS(TRY_CAST(`price` AS DOUBLE)) AS STRING), 'E', 0), '.', '') AS DECIMAL(18, 0)) * CAST(SPLIT_INDEX(CAST(TRY_CAST(COALESCE(`size`, '1') AS DECIMAL(30, 12)) AS STRING), '.', 1) AS DECIMAL(12, 0)) AS STRING), 30, '0'), 18) AS DECIMAL(18, 0)) AS STRING) || RIGHT(LPAD(CAST(CAST(REPLACE(SPLIT_INDEX(CAST(ABS(TRY_CAST(`price` AS DOUBLE)) AS STRING), 'E', 0), '.', '') AS DECIMAL(18, 0)) * CAST(SPLIT_INDEX(CAST(TRY_CAST(COALESCE(`size`, '1') AS DECIMAL(30, 12)) AS STRING), '.', 1) AS DECIMAL(12, 0)) AS STRING), 30, '0'), 12) || 'E-' || CAST((CHAR_LENGTH(SPLIT_INDEX(SPLIT_INDEX(CAST(ABS(TRY_CAST(`price` AS DOUBLE)) AS STRING), 'E', 0), '.', 1)) - COALESCE(CAST(SPLIT_INDEX(CAST(ABS(TRY_CAST(`price` AS DOUBLE)) AS STRING), 'E', 1) AS INT), 0)) + 12 AS STRING) AS DECIMAL(38, 12)) IS NOT NULL END ELSE FALSE END))
  AND `number` >= 0
  AND REGEXP(`dateTime`, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z?\z') AND SUBSTRING(CAST(TRY_CAST(REPLACE(REPLACE(`dateTime`, 'T', ' '), 'Z', '') AS TIMESTAMP(6)) AS STRING) FROM 1 FOR 19) = SUBSTRING(REPLACE(`dateTime`, 'T', ' ') FROM 1 FOR 19) AND `dateTime` >= '1970'
  AND (`receiveDateTime` IS NULL OR (REGEXP(`receiveDateTime`, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z?\z') AND SUBSTRING(CAST(TRY_CAST(REPLACE(REPLACE(`receiveDateTime`, 'T', ' '), 'Z', '') AS TIMESTAMP(6)) AS STRING) FROM 1 FOR 19) = SUBSTRING(REPLACE(`receiveDateTime`, 'T', ' ') FROM 1 FOR 19) AND `receiveDateTime` >= '1970'))
  AND (`askMarkup` IS NULL OR (ABS(TRY_CAST(`askMarkup` AS DOUBLE)) <= 1.7976931348623157E308))
  AND (`bidMarkup` IS NULL OR (ABS(TRY_CAST(`bidMarkup` AS DOUBLE)) <= 1.7976931348623157E308))
  AND (`isTradable` IS NULL OR (`isTradable` IN ('true', 'false')))
  AND `at` <= CAST(`recorded` AS TIMESTAMP(6)) + INTERVAL '0 00:05:00.000' DAY TO SECOND(3);

CREATE VIEW `clocked` AS
SELECT *, MAX(`at`) OVER (PARTITION BY `source`, `symbol` ORDER BY `arrived`
  ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS `clock`
FROM `valid`;

CREATE VIEW `counted` AS
SELECT `source`, `symbol`, `1min`, `5min`, `10min`, `15min`, `30min`, `1hour`, `3hour`, `4hour`, `1day`, `1week`, `1month`, `price`, `order_key`
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `source`, `symbol`, `at`, `number`
  ORDER BY `arrived`) AS `copy` FROM (SELECT `source`, `symbol`, `at`, `number`, `arrived`, `mid` AS `price`,
  SUBSTRING(`dateTime` FROM 1 FOR 16) || ':00.000' AS `1min`,
  SUBSTRING(`dateTime` FROM 1 FOR 14) || LPAD(CAST(CAST(SUBSTRING(`dateTime` FROM 15 FOR 2) AS INT) - MOD(CAST(SUBSTRING(`dateTime` FROM 15 FOR 2) AS INT), 5) AS STRING), 2, '0') || ':00.000' AS `5min`,
  SUBSTRING(`dateTime` FROM 1 FOR 14) || LPAD(CAST(CAST(SUBSTRING(`dateTime` FROM 15 FOR 2) AS INT) - MOD(CAST(SUBSTRING(`dateTime` FROM 15 FOR 2) AS INT), 10) AS STRING), 2, '0') || ':00.000' AS `10min`,
  SUBSTRING(`dateTime` FROM 1 FOR 14) || LPAD(CAST(CAST(SUBSTRING(`dateTime` FROM 15 FOR 2) AS INT) - MOD(CAST(SUBSTRING(`dateTime` FROM 15 FOR 2) AS INT), 15) AS STRING), 2, '0') || ':00.000' AS `15min`,
  SUBSTRING(`dateTime` FROM 1 FOR 14) || LPAD(CAST(CAST(SUBSTRING(`dateTime` FROM 15 FOR 2) AS INT) - MOD(CAST(SUBSTRING(`dateTime` FROM 15 FOR 2) AS INT), 30) AS STRING), 2, '0') || ':00.000' AS `30min`,
  SUBSTRING(`dateTime` FROM 1 FOR 13) || ':00:00.000' AS `1hour`,
  SUBSTRING(`dateTime` FROM 1 FOR 11) || LPAD(CAST(CAST(SUBSTRING(`dateTime` FROM 12 FOR 2) AS INT) - MOD(CAST(SUBSTRING(`dateTime` FROM 12 FOR 2) AS INT), 3) AS STRING), 2, '0') || ':00:00.000' AS `3hour`,
  SUBSTRING(`dateTime` FROM 1 FOR 11) || LPAD(CAST(CAST(SUBSTRING(`dateTime` FROM 12 FOR 2) AS INT) - MOD(CAST(SUBSTRING(`dateTime` FROM 12 FOR 2) AS INT), 4) AS STRING), 2, '0') || ':00:00.000' AS `4hour`,
  SUBSTRING(`dateTime` FROM 1 FOR 10) || 'T00:00:00.000' AS `1day`,
  CAST(TIMESTAMPADD(DAY, -MOD(TIMESTAMPDIFF(DAY, DATE '1969-12-29', CAST(SUBSTRING(`dateTime` FROM 1 FOR 10) AS DATE)), 7), CAST(SUBSTRING(`dateTime` FROM 1 FOR 10) AS DATE)) AS STRING) || 'T00:00:00.000' AS `1week`,
  SUBSTRING(`dateTime` FROM 1 FOR 7) || '-01T00:00:00.000' AS `1month`,
  REPLACE(CAST(`at` AS STRING), ' ', 'T') || LPAD(CAST(`number` AS STRING), 19, '0') || CAST(`mid` AS STRING) AS `order_key`
  FROM `clocked` WHERE FLOOR(`at` TO MINUTE) + INTERVAL '0 00:11:00.000' DAY TO SECOND(3) > `clock`))
WHERE `copy` = 1;

CREATE VIEW `parts` AS
SELECT /*+ STATE_TTL('t' = '87060000 ms') */
  `source`, `symbol`, `1min`, `5min`, `10min`, `15min`, `30min`, `1hour`, `3hour`, `4hour`, `1day`, `1week`, `1month`,
  MIN(`order_key`) AS `first`, MAX(`price`) AS `high`, MIN(`price`) AS `low`, MAX(`order_key`) AS `last`, COUNT(*) AS `volume`, COUNT(*) AS `tickCount`
FROM `counted` AS `t`
GROUP BY `source`, `symbol`, `1min`, `5min`, `10min`, `15min`, `30min`, `1hour`, `3hour`, `4hour`, `1day`, `1week`, `1month`;

CREATE VIEW `candles_1min` AS
SELECT /*+ STATE_TTL('t' = '87060000 ms') */
  `source`, `symbol`, `1min` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `1min`;

CREATE VIEW `candles_5min` AS
SELECT /*+ STATE_TTL('t' = '87300000 ms') */
  `source`, `symbol`, `5min` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `5min`;

CREATE VIEW `candles_10min` AS
SELECT /*+ STATE_TTL('t' = '87600000 ms') */
  `source`, `symbol`, `10min` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `10min`;

CREATE VIEW `candles_15min` AS
SELECT /*+ STATE_TTL('t' = '87900000 ms') */
  `source`, `symbol`, `15min` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `15min`;

CREATE VIEW `candles_30min` AS
SELECT /*+ STATE_TTL('t' = '88800000 ms') */
  `source`, `symbol`, `30min` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `30min`;

CREATE VIEW `candles_1hour` AS
SELECT /*+ STATE_TTL('t' = '90600000 ms') */
  `source`, `symbol`, `1hour` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `1hour`;

CREATE VIEW `candles_3hour` AS
SELECT /*+ STATE_TTL('t' = '97800000 ms') */
  `source`, `symbol`, `3hour` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `3hour`;

CREATE VIEW `candles_4hour` AS
SELECT /*+ STATE_TTL('t' = '101400000 ms') */
  `source`, `symbol`, `4hour` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `4hour`;

CREATE VIEW `candles_1day` AS
SELECT /*+ STATE_TTL('t' = '173400000 ms') */
  `source`, `symbol`, `1day` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `1day`;

CREATE VIEW `candles_1week` AS
SELECT /*+ STATE_TTL('t' = '691800000 ms') */
  `source`, `symbol`, `1week` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `1week`;

CREATE VIEW `candles_1month` AS
SELECT /*+ STATE_TTL('t' = '2765400000 ms') */
  `source`, `symbol`, `1month` AS `dateTime`,
  MIN(`first`) AS `first`, MAX(`high`) AS `high`, MIN(`low`) AS `low`, MAX(`last`) AS `last`, SUM(`volume`) AS `volume`, SUM(`tickCount`) AS `tickCount`
FROM `parts` AS `t`
GROUP BY `source`, `symbol`, `1month`;

EXECUTE STATEMENT SET BEGIN
INSERT INTO `late`
SELECT `source` || ':' || `symbol`,
  `source`,
  `symbol`,
  `ask`,
  `bid`,
  `mid`,
  CAST(`price` AS DOUBLE),
  CAST(`size` AS DECIMAL(38, 12)),
  `side`,
  `number`,
  `dateTime`,
  `receiveDateTime`,
  CAST(`askMarkup` AS DOUBLE),
  CAST(`bidMarkup` AS DOUBLE),
  CAST(`isTradable` AS BOOLEAN),
  MAP['topic', ENCODE('stock_ticks', 'UTF-8'), 'partition', ENCODE(CAST(`partition` AS STRING), 'UTF-8'), 'offset', ENCODE(CAST(`offset` AS STRING), 'UTF-8')],
  `recorded`
FROM `clocked`
WHERE NOT (FLOOR(`at` TO MINUTE) + INTERVAL '0 00:11:00.000' DAY TO SECOND(3) > `clock`);
INSERT INTO `candle_1min`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_1min`;
INSERT INTO `candle_5min`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_5min`;
INSERT INTO `candle_10min`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_10min`;
INSERT INTO `candle_15min`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_15min`;
INSERT INTO `candle_30min`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_30min`;
INSERT INTO `candle_1hour`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_1hour`;
INSERT INTO `candle_3hour`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_3hour`;
INSERT INTO `candle_4hour`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_4hour`;
INSERT INTO `candle_1day`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_1day`;
INSERT INTO `candle_1week`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_1week`;
INSERT INTO `candle_1month`
SELECT `source`,
  `symbol`,
  `dateTime`,
  CAST(SUBSTRING(`first` FROM 46) AS DOUBLE) AS `open`,
  `high`,
  `low`,
  CAST(SUBSTRING(`last` FROM 46) AS DOUBLE) AS `close`,
  `volume`,
  `tickCount`,
  SUBSTRING(`first` FROM 1 FOR 26) AS `openDateTime`,
  CAST(SUBSTRING(`first` FROM 27 FOR 19) AS BIGINT) AS `openNumber`,
  SUBSTRING(`last` FROM 1 FOR 26) AS `closeDateTime`,
  CAST(SUBSTRING(`last` FROM 27 FOR 19) AS BIGINT) AS `closeNumber`,
  CAST(NULL AS BOOLEAN) AS `isFinal`,
  CAST(NULL AS INT) AS `revision`,
  DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS `updateDateTime`
FROM `candles_1month`;
END;
