# Names and rules, without a provider: what `terraform test` reaches.

variable "name" {
  type     = string
  nullable = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name: 3 to 32 lower-case letters, digits and -, beginning with a letter."
  }
}

variable "cloud" {
  type     = string
  nullable = false

  validation {
    condition     = contains(["AWS", "GCP", "AZURE"], var.cloud)
    error_message = "cloud: AWS, GCP or AZURE."
  }
}

variable "region" {
  type     = string
  nullable = false

  validation {
    condition     = can(regex("^[a-z0-9-]{4,}$", var.region))
    error_message = "region: as the cloud writes it, such as eu-central-1."
  }
}

variable "engine" {
  type     = string
  nullable = false

  validation {
    condition     = contains(["ksqldb", "flink"], var.engine)
    error_message = "engine: ksqldb or flink."
  }
}

variable "partitions" {
  type     = number
  nullable = false

  validation {
    condition     = var.partitions >= 1 && var.partitions <= 300 && floor(var.partitions) == var.partitions
    error_message = "partitions: a whole number from 1 to 300."
  }
}

variable "csu" {
  type     = number
  nullable = false

  validation {
    condition     = contains([1, 2, 4, 8, 12, 16, 20, 24, 28], var.csu)
    error_message = "csu: 1, 2, 4, 8, 12, 16, 20, 24 or 28."
  }
}

variable "max_cfu" {
  type     = number
  nullable = false

  validation {
    condition     = contains([5, 10, 20, 30, 40, 50], var.max_cfu)
    error_message = "max_cfu: 5, 10, 20, 30, 40 or 50."
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
    error_message = "topics: no name twice."
  }

  validation {
    condition     = length([for topic in var.topics : topic if topic.candles]) == 11
    error_message = "topics: 11 of candles."
  }
}

variable "statements" {
  description = "statements.json: Flink's tables, and insert, which runs."
  type = list(object({
    name = string
    text = string
  }))
  nullable = false
}

locals {
  # Flink's tables make the topics of candles themselves.
  made = [for topic in var.topics : topic if var.engine == "ksqldb" || !topic.candles]

  candles = [for topic in var.topics : topic.name if topic.candles]
  others  = [for topic in var.topics : topic.name if !topic.candles]
}

output "topics" {
  description = "The topics that Terraform makes, by name."
  value       = { for topic in local.made : topic.name => merge(topic, { partitions = var.partitions }) }
}

output "tables" {
  description = "Flink's tables by name: each makes its topic."
  value       = { for s in var.statements : s.name => s.text if s.name != "insert" && var.engine == "flink" }
}

output "runs" {
  description = "Flink's statement that runs, by name."
  value       = { for s in var.statements : s.name => s.text if s.name == "insert" && var.engine == "flink" }
}

output "candle_topics" {
  description = "The topics of candles, whoever makes them."
  value       = local.candles
}

output "tick_topic" {
  description = "The topic of ticks."
  value       = local.others[0]
}

output "accounts" {
  description = "Service accounts: what they are called and what they may do."
  value = {
    feed   = { name = "${var.name}-feed", does = "writes ticks" }
    land   = { name = "${var.name}-land", does = "reads ticks and candles" }
    engine = { name = "${var.name}-${var.engine}", does = "makes candles of ticks" }
    admin  = { name = "${var.name}-admin", does = "makes topics and rights" }
  }
}
