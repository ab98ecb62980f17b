data "confluent_flink_region" "this" {
  count = var.engine == "flink" ? 1 : 0

  cloud  = var.cloud
  region = var.region
}

resource "confluent_flink_compute_pool" "this" {
  count = var.engine == "flink" ? 1 : 0

  display_name = var.name
  cloud        = var.cloud
  region       = var.region
  max_cfu      = var.max_cfu

  environment {
    id = confluent_environment.this.id
  }
}

resource "confluent_api_key" "flink" {
  count = var.engine == "flink" ? 1 : 0

  display_name = "${var.name}-flink"
  description  = "Flink's REST API, for the statements"

  owner {
    id          = confluent_service_account.this["engine"].id
    api_version = confluent_service_account.this["engine"].api_version
    kind        = confluent_service_account.this["engine"].kind
  }

  managed_resource {
    id          = data.confluent_flink_region.this[0].id
    api_version = data.confluent_flink_region.this[0].api_version
    kind        = data.confluent_flink_region.this[0].kind

    environment {
      id = confluent_environment.this.id
    }
  }
}

locals {
  statement_properties = merge(local.statements.properties, {
    "sql.current-catalog"  = confluent_environment.this.display_name
    "sql.current-database" = confluent_kafka_cluster.this.display_name
  })
}

resource "confluent_flink_statement" "tables" {
  for_each = module.names.tables

  statement      = each.value
  statement_name = "${var.name}-${each.key}"
  properties     = local.statement_properties
  rest_endpoint  = data.confluent_flink_region.this[0].rest_endpoint

  organization {
    id = data.confluent_organization.this.id
  }

  environment {
    id = confluent_environment.this.id
  }

  compute_pool {
    id = confluent_flink_compute_pool.this[0].id
  }

  principal {
    id = confluent_service_account.this["engine"].id
  }

  credentials {
    key    = confluent_api_key.flink[0].id
    secret = confluent_api_key.flink[0].secret
  }

  depends_on = [confluent_kafka_topic.this, confluent_role_binding.this]
}

resource "confluent_flink_statement" "runs" {
  for_each = module.names.runs

  statement      = each.value
  statement_name = "${var.name}-${each.key}"
  properties     = local.statement_properties
  rest_endpoint  = data.confluent_flink_region.this[0].rest_endpoint

  organization {
    id = data.confluent_organization.this.id
  }

  environment {
    id = confluent_environment.this.id
  }

  compute_pool {
    id = confluent_flink_compute_pool.this[0].id
  }

  principal {
    id = confluent_service_account.this["engine"].id
  }

  credentials {
    key    = confluent_api_key.flink[0].id
    secret = confluent_api_key.flink[0].secret
  }

  depends_on = [confluent_flink_statement.tables]
}
