variable "confluent_cloud_api_key" {
  description = "Cloud API key of somebody who may make environments (OrganizationAdmin)."
  type        = string
  sensitive   = true
}

variable "confluent_cloud_api_secret" {
  description = "Its secret."
  type        = string
  sensitive   = true
}

variable "name" {
  description = "What everything is called after."
  type        = string
  default     = "homma"
  nullable    = false
}

variable "cloud" {
  description = "Where it runs: AWS, GCP or AZURE."
  type        = string
  default     = "AWS"
  nullable    = false
}

variable "region" {
  description = "The cloud's region."
  type        = string
  default     = "eu-central-1"
  nullable    = false
}

variable "engine" {
  description = "What makes the candles: ksqldb or flink."
  type        = string
  default     = "flink"
  nullable    = false
}

variable "partitions" {
  description = "Partitions of the topic of ticks, and so of each topic of candles."
  type        = number
  default     = 4
  nullable    = false
}

variable "csu" {
  description = "Streaming units of the ksqlDB cluster: 1, 2, 4, 8, 12, 16, 20, 24 or 28."
  type        = number
  default     = 4
  nullable    = false
}

variable "max_cfu" {
  description = "Most units of the Flink compute pool: 5, 10, 20, 30, 40 or 50."
  type        = number
  default     = 10
  nullable    = false
}
