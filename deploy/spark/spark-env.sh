# Sourced by Spark's scripts. Addresses default to homma's unless set in the environment.
export HOMMA_CATALOG_URI="${HOMMA_CATALOG_URI:-http://127.0.0.1:8181}"
export HOMMA_WAREHOUSE="${HOMMA_WAREHOUSE:-s3://lake}"
export HOMMA_S3_ENDPOINT="${HOMMA_S3_ENDPOINT:-http://127.0.0.1:8333}"
export HOMMA_S3_REGION="${HOMMA_S3_REGION:-us-east-1}"
export LAKE_CREDENTIAL="${AWS_ACCESS_KEY_ID}:${AWS_SECRET_ACCESS_KEY}"
export LAKE_OAUTH2_URI="${HOMMA_CATALOG_URI}/v1/oauth/tokens"
