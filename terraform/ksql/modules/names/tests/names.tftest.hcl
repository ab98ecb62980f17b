variables {
  name       = "homma"
  cloud      = "AWS"
  region     = "eu-central-1"
  engine     = "ksqldb"
  partitions = 4
  csu        = 4
  max_cfu    = 10
  topics     = jsondecode(file("../../topics.json"))
  statements = jsondecode(file("../../statements.json"))
}

run "ksqldb_creates_all_topics" {
  command = plan

  assert {
    condition     = length(output.topics) == 3 + length(var.topics.candles)
    error_message = "The topics must be ticks, dead, late and one for each interval."
  }

  assert {
    condition     = alltrue([for topic in values(output.topics) : topic.partitions == 4])
    error_message = "Candle topics must have as many partitions as the tick topic."
  }

  assert {
    condition     = alltrue([for name in output.candle_topics : output.topics[name].config["cleanup.policy"] == "compact,delete"])
    error_message = "Candle topics must be compacted."
  }

  assert {
    condition     = length(output.tables) + length(output.runs) == 0
    error_message = "ksqlDB must not run Flink's statements."
  }
}

run "flink_creates_the_candle_topics" {
  command = plan

  variables {
    engine = "flink"
  }

  assert {
    condition     = sort(keys(output.topics)) == tolist(["stock_ticks", "stock_ticks_dead", "stock_ticks_late"])
    error_message = "Terraform must create only the topics that no statement creates."
  }

  assert {
    condition     = length(output.candle_topics) == length(var.topics.candles)
    error_message = "All candle topics must be in the output."
  }

  assert {
    condition     = length(output.tables) == length(var.topics.candles) && keys(output.runs)[0] == "insert"
    error_message = "There must be a table per candle topic, and one running statement."
  }
}

run "names_start_with_the_name" {
  command = plan

  variables {
    name   = "candles-test"
    engine = "flink"
  }

  assert {
    condition     = output.accounts.engine.name == "candles-test-flink"
    error_message = "The engine's account must be named after the engine."
  }
}

run "name_in_capitals" {
  command = plan

  variables {
    name = "Homma"
  }

  expect_failures = [var.name]
}

run "unknown_engine" {
  command = plan

  variables {
    engine = "spark"
  }

  expect_failures = [var.engine]
}

run "unknown_cloud" {
  command = plan

  variables {
    cloud = "aws"
  }

  expect_failures = [var.cloud]
}

run "no_partitions" {
  command = plan

  variables {
    partitions = 0
  }

  expect_failures = [var.partitions]
}

run "unavailable_units" {
  command = plan

  variables {
    csu     = 3
    max_cfu = 7
  }

  expect_failures = [var.csu, var.max_cfu]
}

run "region_as_a_city_name" {
  command = plan

  variables {
    region = "Frankfurt am Main"
  }

  expect_failures = [var.region]
}

run "duplicate_topic" {
  command = plan

  variables {
    topics = {
      ticks   = { name = "stock_ticks", config = {} }
      dead    = { name = "stock_ticks_dead", config = {} }
      late    = { name = "stock_ticks_late", config = {} }
      candles = { m1 = { name = "stock_ticks", config = {} } }
    }
  }

  expect_failures = [var.topics]
}

run "other_intervals" {
  command = plan

  variables {
    engine = "flink"
    topics = {
      ticks   = { name = "stock_ticks", config = {} }
      dead    = { name = "stock_ticks_dead", config = {} }
      late    = { name = "stock_ticks_late", config = {} }
      candles = { s10 = { name = "candle_10sec", config = {} }, M1 = { name = "candle_1month", config = {} } }
    }
    statements = {
      tables = { s10 = { name = "candle-10sec", text = "" }, M1 = { name = "candle-1month", text = "" } }
      insert = { name = "insert", text = "" }
    }
  }

  assert {
    condition     = sort(keys(output.tables)) == tolist(["candle-10sec", "candle-1month"])
    error_message = "There must be a table for each interval of the topics."
  }
}

run "statements_of_other_intervals" {
  command = plan

  variables {
    statements = {
      tables = { s10 = { name = "candle-10sec", text = "" } }
      insert = { name = "insert", text = "" }
    }
  }

  expect_failures = [output.tables]
}
