# The only output, sensitive because it contains keys: terraform output -json resource-ids
output "resource-ids" {
  description = "The created resources and their keys."
  sensitive   = true
  value = {
    environment       = confluent_environment.this.id
    cluster           = confluent_kafka_cluster.this.id
    bootstrap_servers = trimprefix(confluent_kafka_cluster.this.bootstrap_endpoint, "SASL_SSL://")
    accounts          = { for role, account in confluent_service_account.this : role => account.id }
    topics            = concat(keys(module.names.topics), var.engine == "flink" ? module.names.candle_topics : [])
    keys              = { for role, key in confluent_api_key.kafka : role => { id = key.id, secret = key.secret } }
    ksqldb = one([for cluster in confluent_ksql_cluster.this : {
      id            = cluster.id
      rest_endpoint = cluster.rest_endpoint
      key           = confluent_api_key.ksqldb[0].id
      secret        = confluent_api_key.ksqldb[0].secret
    }])
    flink = one([for pool in confluent_flink_compute_pool.this : { compute_pool = pool.id }])
  }
}
