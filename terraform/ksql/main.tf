locals {
  statements = jsondecode(file("${path.module}/statements.json"))
}

module "names" {
  source = "./modules/names"

  name       = var.name
  cloud      = var.cloud
  region     = var.region
  engine     = var.engine
  partitions = var.partitions
  csu        = var.csu
  max_cfu    = var.max_cfu
  topics     = jsondecode(file("${path.module}/topics.json"))
  statements = { tables = local.statements.tables, insert = local.statements.insert }
}

resource "confluent_environment" "this" {
  display_name = var.name

  stream_governance {
    package = "ESSENTIALS"
  }
}

# Standard is the first cluster type with permissions on single topics (RBAC).
resource "confluent_kafka_cluster" "this" {
  display_name = var.name
  availability = "SINGLE_ZONE"
  cloud        = var.cloud
  region       = var.region

  standard {}

  environment {
    id = confluent_environment.this.id
  }
}

data "confluent_schema_registry_cluster" "this" {
  environment {
    id = confluent_environment.this.id
  }

  depends_on = [confluent_kafka_cluster.this]
}

data "confluent_organization" "this" {}

resource "confluent_service_account" "this" {
  for_each = module.names.accounts

  display_name = each.value.name
  description  = "homma: ${each.value.purpose}"
}

resource "confluent_kafka_topic" "this" {
  for_each = module.names.topics

  kafka_cluster {
    id = confluent_kafka_cluster.this.id
  }

  topic_name       = each.key
  partitions_count = each.value.partitions
  rest_endpoint    = confluent_kafka_cluster.this.rest_endpoint
  config           = each.value.config

  credentials {
    key    = confluent_api_key.kafka["admin"].id
    secret = confluent_api_key.kafka["admin"].secret
  }

  depends_on = [confluent_role_binding.admin]
}
