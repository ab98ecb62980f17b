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
  description = "topics.json: every topic of the contract; those of candles by the interval's code."
  type = object({
    ticks   = object({ name = string, config = map(string) })
    dead    = object({ name = string, config = map(string) })
    late    = object({ name = string, config = map(string) })
    candles = map(object({ name = string, config = map(string) }))
  })
  nullable = false

  validation {
    condition = length(distinct(concat(
      [var.topics.ticks.name, var.topics.dead.name, var.topics.late.name],
      [for topic in values(var.topics.candles) : topic.name],
    ))) == 3 + length(var.topics.candles)
    error_message = "topics: names must be unique."
  }

  validation {
    condition     = length(var.topics.candles) > 0
    error_message = "topics: there must be a candle topic."
  }
}

variable "statements" {
  description = "statements.json: Flink's tables by the interval's code, and the statement that runs."
  type = object({
    tables = map(object({ name = string, text = string }))
    insert = object({ name = string, text = string })
  })
  nullable = false
}

locals {
  others  = [var.topics.ticks, var.topics.dead, var.topics.late]
  candles = values(var.topics.candles)

  # Flink's tables create the candle topics.
  created = concat(local.others, var.engine == "ksqldb" ? local.candles : [])
}

output "topics" {
  description = "The topics that Terraform creates, by name."
  value       = { for topic in local.created : topic.name => merge(topic, { partitions = var.partitions }) }
}

output "tables" {
  description = "Flink's tables by name; each creates its topic."
  value       = { for s in values(var.statements.tables) : s.name => s.text if var.engine == "flink" }

  precondition {
    condition     = keys(var.statements.tables) == keys(var.topics.candles)
    error_message = "statements: the intervals must be those of topics; run homma render."
  }
}

output "runs" {
  description = "Flink's running statement, by name."
  value       = { for s in [var.statements.insert] : s.name => s.text if var.engine == "flink" }
}

output "candle_topics" {
  description = "All candle topics."
  value       = local.candles[*].name
}

output "tick_topic" {
  description = "The tick topic."
  value       = var.topics.ticks.name
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
