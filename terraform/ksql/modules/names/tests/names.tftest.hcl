variables {
  name       = "homma"
  cloud      = "AWS"
  region     = "eu-central-1"
  engine     = "ksqldb"
  partitions = 4
  csu        = 4
  max_cfu    = 10
  topics     = jsondecode(file("../../topics.json"))
  statements = jsondecode(file("../../statements.json")).statements
}

run "ksqldb_has_all_topics_made" {
  command = plan

  assert {
    condition     = length(output.topics) == 14
    error_message = "Ticks, dead, late and 11 of candles."
  }

  assert {
    condition     = output.topics["candle_1month"].partitions == 4
    error_message = "As many partitions as ticks have."
  }

  assert {
    condition     = output.topics["candle_1min"].config["cleanup.policy"] == "compact,delete"
    error_message = "The newest record of a key is the candle."
  }

  assert {
    condition     = length(output.tables) + length(output.runs) == 0
    error_message = "ksqlDB runs no statements of Flink's."
  }
}

run "flink_makes_the_candle_topics_itself" {
  command = plan

  variables {
    engine = "flink"
  }

  assert {
    condition     = sort(keys(output.topics)) == tolist(["stock_ticks", "stock_ticks_dead", "stock_ticks_late"])
    error_message = "Only those that no statement makes."
  }

  assert {
    condition     = length(output.candle_topics) == 11
    error_message = "They are known all the same."
  }

  assert {
    condition     = length(output.tables) == 11 && keys(output.runs)[0] == "insert"
    error_message = "A table each, and one statement that runs."
  }
}

run "names_follow_the_name" {
  command = plan

  variables {
    name   = "candles-test"
    engine = "flink"
  }

  assert {
    condition     = output.accounts.engine.name == "candles-test-flink"
    error_message = "The engine's account is named after it."
  }
}

run "a_name_in_capitals" {
  command = plan

  variables {
    name = "Homma"
  }

  expect_failures = [var.name]
}

run "another_engine" {
  command = plan

  variables {
    engine = "spark"
  }

  expect_failures = [var.engine]
}

run "another_cloud" {
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

run "units_that_are_not_sold" {
  command = plan

  variables {
    csu     = 3
    max_cfu = 7
  }

  expect_failures = [var.csu, var.max_cfu]
}

run "a_region_in_words" {
  command = plan

  variables {
    region = "Frankfurt am Main"
  }

  expect_failures = [var.region]
}

run "a_topic_twice" {
  command = plan

  variables {
    topics = [
      { name = "stock_ticks", candles = false, config = {} },
      { name = "stock_ticks", candles = false, config = {} },
    ]
  }

  expect_failures = [var.topics]
}
