variable "confluent_cloud_api_key" {
  description = "Cloud API key of an account that may create environments (OrganizationAdmin)."
  type        = string
  sensitive   = true
}

variable "confluent_cloud_api_secret" {
  description = "Secret of the Cloud API key."
  type        = string
  sensitive   = true
}

variable "name" {
  description = "Name of the environment and prefix of all resources."
  type        = string
  default     = "homma"
  nullable    = false
}

variable "cloud" {
  description = "Cloud provider: AWS, GCP or AZURE."
  type        = string
  default     = "AWS"
  nullable    = false
}

variable "region" {
  description = "Region of the cloud provider."
  type        = string
  default     = "eu-central-1"
  nullable    = false
}

variable "engine" {
  description = "Engine that makes the candles: ksqldb or flink."
  type        = string
  default     = "flink"
  nullable    = false
}

variable "partitions" {
  description = "Partitions of the tick topic and of each candle topic."
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
  description = "Maximum units of the Flink compute pool: 5, 10, 20, 30, 40 or 50."
  type        = number
  default     = 10
  nullable    = false
}
