terraform {
  required_version = ">= 1.6"

  required_providers {
    confluent = {
      source  = "confluentinc/confluent"
      version = "~> 2.0"
    }
  }

  # Remote state is yours to choose: terraform init -backend-config=... with a backend block of
  # your own. The state holds API secrets; keep it where only you can read it.
}

provider "confluent" {
  cloud_api_key    = var.confluent_cloud_api_key
  cloud_api_secret = var.confluent_cloud_api_secret
}
