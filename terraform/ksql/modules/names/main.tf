# Names and validation, without a provider, so that `terraform test` can test them.

variable "name" {
  type     = string
  nullable = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name: must be 3 to 32 lower-case letters, digits and -, starting with a letter."
  }
}

variable "cloud" {
  type     = string
  nullable = false

  validation {
    condition     = contains(["AWS", "GCP", "AZURE"], var.cloud)
    error_message = "cloud: must be AWS, GCP or AZURE."
  }
}

variable "region" {
  type     = string
  nullable = false

  validation {
    condition     = can(regex("^[a-z0-9-]{4,}$", var.region))
    error_message = "region: must be the cloud's region name, such as eu-central-1."
  }
}

variable "engine" {
  type     = string
  nullable = false

  validation {
    condition     = contains(["ksqldb", "flink"], var.engine)
    error_message = "engine: must be ksqldb or flink."
  }
}

variable "partitions" {
  type     = number
  nullable = false

  validation {
    condition     = var.partitions >= 1 && var.partitions <= 300 && floor(var.partitions) == var.partitions
    error_message = "partitions: must be a whole number from 1 to 300."
  }
}

variable "csu" {
  type     = number
  nullable = false

  validation {
    condition     = contains([1, 2, 4, 8, 12, 16, 20, 24, 28], var.csu)
    error_message = "csu: must be 1, 2, 4, 8, 12, 16, 20, 24 or 28."
  }
}

variable "max_cfu" {
  type     = number
  nullable = false

  validation {
    condition     = contains([5, 10, 20, 30, 40, 50], var.max_cfu)
    error_message = "max_cfu: must be 5, 10, 20, 30, 40 or 50."
  }
}

variable "topics" {
  description = "topics.json: every topic of the contract."
  type = list(object({
    name    = string
    candles = bool
    config  = map(string)
  }))
  nullable = false

  validation {
    condition     = length(distinct(var.topics[*].name)) == length(var.topics)
    error_message = "topics: names must be unique."
  }

  validation {
    condition     = length([for topic in var.topics : topic if topic.candles]) == 11
    error_message = "topics: there must be 11 candle topics."
  }
}

variable "statements" {
  description = "statements.json: Flink's tables, and the statement `insert`, which runs."
  type = list(object({
    name = string
    text = string
  }))
  nullable = false
}

locals {
  # Flink's tables create the candle topics.
  created = [for topic in var.topics : topic if var.engine == "ksqldb" || !topic.candles]

  candles = [for topic in var.topics : topic.name if topic.candles]
  others  = [for topic in var.topics : topic.name if !topic.candles]
}

output "topics" {
  description = "The topics that Terraform creates, by name."
  value       = { for topic in local.created : topic.name => merge(topic, { partitions = var.partitions }) }
}

output "tables" {
  description = "Flink's tables by name; each creates its topic."
  value       = { for s in var.statements : s.name => s.text if s.name != "insert" && var.engine == "flink" }
}

output "runs" {
  description = "Flink's running statement, by name."
  value       = { for s in var.statements : s.name => s.text if s.name == "insert" && var.engine == "flink" }
}

output "candle_topics" {
  description = "All candle topics."
  value       = local.candles
}

output "tick_topic" {
  description = "The tick topic."
  value       = local.others[0]
}

output "accounts" {
  description = "Service accounts: their names and permissions."
  value = {
    feed   = { name = "${var.name}-feed", purpose = "writes ticks" }
    land   = { name = "${var.name}-land", purpose = "reads ticks and candles" }
    engine = { name = "${var.name}-${var.engine}", purpose = "makes candles from ticks" }
    admin  = { name = "${var.name}-admin", purpose = "creates topics and permissions" }
  }
}
