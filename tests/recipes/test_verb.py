"""The recipe for a verb: a command that lists the chosen intervals."""

import json

from tests.recipes.recipe import creating, follow, replacing
from tests.support.homma_copy import HommaCopy

VERB = '''\
"""`homma calendar`: list the chosen intervals."""

import json

import click

from homma.cli.options import with_settings
from homma.settings import TopicSettings


@click.command()
@with_settings(TopicSettings)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def calendar(topics: TopicSettings, as_json: bool) -> None:
    """List the intervals of the candles, the finest first.

    \\b
    Example:
      homma calendar --intervals m1,D1
    """
    names = {interval.code: interval.name for interval in topics.intervals}
    lines = [f"{code:4} {name}" for code, name in names.items()]
    click.echo(json.dumps(names) if as_json else "\\n".join(lines))
'''
TEST = '''\
"""`homma calendar`: the chosen intervals, in words and as JSON."""

import json

from click.testing import CliRunner

from homma.cli.main import homma


def test_the_chosen_intervals_are_listed() -> None:
    words = ["calendar", "--intervals", "D1,m1"]
    assert CliRunner().invoke(homma, words).output == "m1   1min\\nD1   1day\\n"
    assert json.loads(CliRunner().invoke(homma, [*words, "--json"]).output) == {
        "m1": "1min",
        "D1": "1day",
    }
'''
SUMMARY = '    "calendar": "List the intervals of the candles, the finest first.",\n'
DOCTOR = '    "doctor": "Check this machine and Kafka.",\n'
EDITS = {
    "src/homma/cli/verbs/calendar.py": creating(VERB),
    "src/homma/cli/main.py": replacing((DOCTOR, SUMMARY + DOCTOR)),
    "tests/cli/test_calendar.py": creating(TEST),
}


def test_a_verb_that_lists_intervals(project: HommaCopy) -> None:
    follow(project, "Add a verb", EDITS, verb="calendar")
    assert "  calendar   List the intervals" in project.homma("--help")
    assert json.loads(project.homma("calendar", "--intervals", "h1", "--json")) == {"h1": "1hour"}
    project.passes("tests/cli/test_calendar.py")
    # It needs an example in its help, and a place in the rendered reference.
    project.passes("tests/cli/test_settings.py", "-k", "example and calendar")
    project.passes("tests/cli/test_render.py", "-k", "every_command or every_metric or each_stage")
