"""Deployments outside `homma up`, rendered from the code's tables and the locks of jars."""

import json
from typing import Any, Final

from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.flink import confluent
from homma.flink.cluster import CONNECTOR, DRIVER
from homma.flink.sql import SHADED, Job, options, script, state_folder
from homma.rendered import ksqldb
from homma.settings import AggregateSettings, FlinkSettings, KafkaSettings, TopicSettings
from homma.stack.downloads.jars import MAVEN_CENTRAL, Jar, read_lock
from homma.topics import contract
from homma.topics.java import java_properties
from homma.topics.kafka.connection import build_connection

#: The address of Kafka between containers.
_KAFKA: Final = "kafka:9092"
_CHECKPOINTS: Final = "s3://lake/flink"
_NOTE: Final = "Rendered by `homma render`"
#: Settings that the operator and compose need before Flink reads the script.
_CLUSTER_OPTIONS: Final = (
    "execution.checkpointing.dir",
    "execution.checkpointing.savepoint-dir",
    "execution.checkpointing.interval",
    "execution.checkpointing.externalized-checkpoint-retention",
    "restart-strategy.type",
)


def _intervals_flag(calendar: Calendar) -> str:
    """The flag for a calendar other than the default, with a space before it."""
    return "" if calendar == DEFAULT_CALENDAR else f" --intervals {calendar}"


def _job(calendar: Calendar) -> Job:
    connection = build_connection(KafkaSettings(bootstrap_servers=_KAFKA), {}, None, None)
    topics, settings = contract.topics(TopicSettings(intervals=calendar)), AggregateSettings()
    return Job(
        topics=topics,
        settings=settings,
        flink=FlinkSettings(checkpoints=_CHECKPOINTS),
        client=java_properties(connection, SHADED),
        checkpoints=state_folder(_CHECKPOINTS, settings.group, topics.ticks),
    )


def flink_sql(calendar: Calendar) -> str:
    """The SQL of the Flink job with default settings."""
    flag = _intervals_flag(calendar)
    head = (
        f"-- {_NOTE}{flag} with the default settings; for others:\n"
        f"-- homma flink sql --bootstrap.servers {_KAFKA} --checkpoints {_CHECKPOINTS}{flag}\n"
    )
    return head + script(_job(calendar))


def _image() -> str:
    return f"flink:{read_lock('flink').version}-java21"


def _connector() -> Jar:
    jars = read_lock("flink").jars
    return next(jar for jar in jars if jar.path.name.startswith(CONNECTOR))


def flink_compose(calendar: Calendar) -> str:
    """A session cluster, and homma to supervise its job."""
    version, intervals = read_lock("flink").version, _intervals_flag(calendar)
    return f"""\
# {_NOTE}. A Flink session cluster; homma submits and supervises its job:
# docker compose -f deploy/flink/compose.yaml up
# Needs Kafka at {_KAFKA} and S3 at http://seaweedfs:8333 in the same network, an image of homma
# (HOMMA_IMAGE), and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.
x-flink: &flink
  image: {_image()}
  restart: unless-stopped
  environment: &environment
    ENABLE_BUILT_IN_PLUGINS: flink-s3-fs-presto-{version}.jar
    AWS_ACCESS_KEY_ID: ${{AWS_ACCESS_KEY_ID:?set it}}
    AWS_SECRET_ACCESS_KEY: ${{AWS_SECRET_ACCESS_KEY:?set it}}
    KAFKA_SASL_USERNAME: ${{KAFKA_SASL_USERNAME:-}}
    KAFKA_SASL_PASSWORD: ${{KAFKA_SASL_PASSWORD:-}}
    FLINK_PROPERTIES: |
      jobmanager.rpc.address: jobmanager
      taskmanager.numberOfTaskSlots: 2
      taskmanager.memory.process.size: 2g
      s3.endpoint: http://seaweedfs:8333
      s3.path.style.access: true

services:
  jobmanager:
    <<: *flink
    command: jobmanager
    ports: ["127.0.0.1:8083:8081"]
    healthcheck:
      test: [CMD, curl, -fsS, http://localhost:8081/config]
      interval: 5s
      timeout: 5s
      retries: 24
  taskmanager:
    <<: *flink
    command: taskmanager
    depends_on: [jobmanager]
  candles:
    image: ${{HOMMA_IMAGE:-homma}}
    restart: unless-stopped
    command: >-
      homma aggregate --engine flink --jobmanager jobmanager:8081
      --bootstrap.servers {_KAFKA} --checkpoints {_CHECKPOINTS} --dir /data{intervals}
    environment: *environment
    volumes: ["candles:/data"]
    depends_on:
      jobmanager: {{condition: service_healthy}}

volumes:
  candles: {{}}
"""


def flink_kubernetes(calendar: Calendar) -> str:
    """An application cluster for Flink's operator, which restarts it from the last checkpoint."""
    job, jar = _job(calendar), _connector()
    flink_options = options(job)
    settings = "".join(f"    {name}: {flink_options[name]}\n" for name in _CLUSTER_OPTIONS)
    version = read_lock("flink").version
    return f"""\
# {_NOTE}. For the Flink Kubernetes operator: kubectl apply -k deploy/flink
# The SQL is candles.sql in this folder. Secret homma-flink has AWS_ACCESS_KEY_ID,
# AWS_SECRET_ACCESS_KEY and, for Kafka with SASL, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD.
apiVersion: flink.apache.org/v1beta1
kind: FlinkDeployment
metadata:
  name: homma-candles
spec:
  image: {_image()}
  flinkVersion: v{version.rpartition(".")[0].replace(".", "_")}
  serviceAccount: flink
  flinkConfiguration:
{settings}\
    high-availability.type: kubernetes
    high-availability.storageDir: s3://lake/flink-ha
    s3.endpoint: http://seaweedfs:8333
    s3.path.style.access: "true"
    taskmanager.numberOfTaskSlots: "{job.flink.parallelism}"
  podTemplate:
    spec:
      initContainers:
        - name: connector
          image: {_image()}
          command: [sh, -euc]
          args:
            - |
              cd /jars
              wget -q {MAVEN_CENTRAL}/{jar.path}
              echo "{jar.sha256}  {jar.path.name}" | sha256sum -c
          volumeMounts:
            - {{name: jars, mountPath: /jars}}
      containers:
        - name: flink-main-container
          env:
            - {{name: ENABLE_BUILT_IN_PLUGINS, value: flink-s3-fs-presto-{version}.jar}}
          envFrom:
            - secretRef: {{name: homma-flink}}
          volumeMounts:
            - {{name: jars, mountPath: /opt/flink/usrlib}}
            - {{name: sql, mountPath: /opt/homma}}
      volumes:
        - {{name: jars, emptyDir: {{}}}}
        - {{name: sql, configMap: {{name: homma-candles-sql}}}}
  jobManager:
    resource: {{cpu: 0.5, memory: 1600m}}
  taskManager:
    resource: {{cpu: 2, memory: 4096m}}
  job:
    jarURI: local:///opt/flink/usrlib/{jar.path.name}
    entryClass: {DRIVER}
    args: [--scriptUri, file:///opt/homma/candles.sql]
    parallelism: {job.flink.parallelism}
    upgradeMode: last-state
"""


def ksqldb_sql(calendar: Calendar) -> str:
    """The SQL for ksqlDB: one stream, and a table for each interval."""
    topics = contract.topics(TopicSettings(intervals=calendar))
    text = ksqldb.script(topics, AggregateSettings())
    return f"-- {_NOTE} from src/homma/rendered/ksqldb.py: edit that file instead.\n{text}"


#: The topic settings that Confluent Cloud accepts.
_SETTABLE: Final = (
    "cleanup.policy",
    "retention.ms",
    "max.message.bytes",
    "message.timestamp.type",
    "message.timestamp.after.max.ms",
)


def confluent_topics(calendar: Calendar) -> str:
    """Every topic for Terraform, with the settings that Confluent Cloud accepts."""
    settings = TopicSettings(intervals=calendar)
    names = contract.topics(settings)
    specs = {spec.name: spec for spec in contract.specs(settings, settings.partitions)}

    def topic(name: str) -> dict[str, Any]:
        config = {k: v for k, v in specs[name].config.items() if k in _SETTABLE}
        return {"name": name, "config": config}

    return _json(
        {
            "ticks": topic(names.ticks),
            "dead": topic(names.dead),
            "late": topic(names.late),
            "candles": {code: topic(name) for code, name in names.public_candles.items()},
        }
    )


def confluent_statements(calendar: Calendar) -> str:
    """The statements for Confluent Cloud's Flink for Terraform; the tables come first."""
    job = _job(calendar)
    tables = confluent.tables(job, TopicSettings().partitions)
    insert_name, insert = confluent.insert_all(job)
    return _json(
        {
            "properties": confluent.properties(job),
            "tables": {code: {"name": name, "text": text} for code, (name, text) in tables.items()},
            "insert": {"name": insert_name, "text": insert},
        }
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
