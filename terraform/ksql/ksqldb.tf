# ksqldb/create-entities.sql creates its tables; Terraform cannot run the script.

# ksqlDB needs to own the cluster, because it creates topics for its state.
resource "confluent_role_binding" "ksqldb" {
  count = var.engine == "ksqldb" ? 1 : 0

  principal   = local.principals["engine"]
  role_name   = "CloudClusterAdmin"
  crn_pattern = confluent_kafka_cluster.this.rbac_crn
}

resource "confluent_ksql_cluster" "this" {
  count = var.engine == "ksqldb" ? 1 : 0

  display_name = var.name
  csu          = var.csu

  # Rows of the processing log would contain ticks.
  use_detailed_processing_log = false

  kafka_cluster {
    id = confluent_kafka_cluster.this.id
  }

  credential_identity {
    id = confluent_service_account.this["engine"].id
  }

  environment {
    id = confluent_environment.this.id
  }

  depends_on = [
    confluent_role_binding.ksqldb,
    data.confluent_schema_registry_cluster.this,
  ]
}

resource "confluent_api_key" "ksqldb" {
  count = var.engine == "ksqldb" ? 1 : 0

  display_name = "${var.name}-ksqldb"
  description  = "ksqlDB, to run create-entities.sql"

  owner {
    id          = confluent_service_account.this["engine"].id
    api_version = confluent_service_account.this["engine"].api_version
    kind        = confluent_service_account.this["engine"].kind
  }

  managed_resource {
    id          = confluent_ksql_cluster.this[0].id
    api_version = confluent_ksql_cluster.this[0].api_version
    kind        = confluent_ksql_cluster.this[0].kind

    environment {
      id = confluent_environment.this.id
    }
  }
}
