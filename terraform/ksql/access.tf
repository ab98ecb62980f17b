locals {
  principals = { for role, account in confluent_service_account.this : role => "User:${account.id}" }
  cluster    = "${confluent_kafka_cluster.this.rbac_crn}/kafka=${confluent_kafka_cluster.this.id}"
  registry   = data.confluent_schema_registry_cluster.this.resource_name

  # Least privilege: the permissions of each account on topics, groups and transactions.
  bindings = merge(
    {
      "feed writes ticks" = {
        role = "DeveloperWrite", account = "feed", crn = "${local.cluster}/topic=${module.names.tick_topic}"
      }
      "land reads ticks" = {
        role = "DeveloperRead", account = "land", crn = "${local.cluster}/topic=${module.names.tick_topic}*"
      }
      "land reads candles" = {
        role = "DeveloperRead", account = "land", crn = "${local.cluster}/topic=candle_*"
      }
      "land reads as a group" = {
        role = "DeveloperRead", account = "land", crn = "${local.cluster}/group=homma*"
      }
      "engine reads ticks" = {
        role = "DeveloperRead", account = "engine", crn = "${local.cluster}/topic=${module.names.tick_topic}"
      }
    },
    var.engine == "flink" ? {
      "engine owns candles" = {
        role = "ResourceOwner", account = "engine", crn = "${local.cluster}/topic=candle_*"
      }
      "engine writes in transactions" = {
        role = "DeveloperRead", account = "engine", crn = "${local.cluster}/transactional-id=_confluent-flink_*"
      }
      "engine ends transactions" = {
        role = "DeveloperWrite", account = "engine", crn = "${local.cluster}/transactional-id=_confluent-flink_*"
      }
      "engine owns schemas of candles" = {
        role = "ResourceOwner", account = "engine", crn = "${local.registry}/subject=candle_*"
      }
      "engine runs statements" = {
        role = "FlinkDeveloper", account = "engine", crn = confluent_environment.this.resource_name
      }
      "land reads schemas" = {
        role = "DeveloperRead", account = "land", crn = "${local.registry}/subject=candle_*"
      }
    } : {},
  )
}

resource "confluent_role_binding" "admin" {
  principal   = local.principals["admin"]
  role_name   = "CloudClusterAdmin"
  crn_pattern = confluent_kafka_cluster.this.rbac_crn
}

resource "confluent_role_binding" "this" {
  for_each = local.bindings

  principal   = local.principals[each.value.account]
  role_name   = each.value.role
  crn_pattern = each.value.crn
}

resource "confluent_api_key" "kafka" {
  for_each = toset(["admin", "feed", "land"])

  display_name = "${var.name}-${each.key}-kafka"
  description  = "Kafka, for ${confluent_service_account.this[each.key].display_name}"

  owner {
    id          = confluent_service_account.this[each.key].id
    api_version = confluent_service_account.this[each.key].api_version
    kind        = confluent_service_account.this[each.key].kind
  }

  managed_resource {
    id          = confluent_kafka_cluster.this.id
    api_version = confluent_kafka_cluster.this.api_version
    kind        = confluent_kafka_cluster.this.kind

    environment {
      id = confluent_environment.this.id
    }
  }
}
