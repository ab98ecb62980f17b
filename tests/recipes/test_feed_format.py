"""The recipe for a feed format: files with tabs between their columns."""

from tests.recipes.recipe import follow, replacing
from tests.support.homma_copy import HommaCopy

SCAN = """\
def _tsv(path: Path, layout: Layout) -> pl.LazyFrame:
    del layout
    return pl.scan_csv(path, separator="\\t", infer_schema=False, glob=False)


def _ndjson("""
WRITE = """\
def write_tsv(frame: pl.DataFrame, path: Path) -> None:
    frame.write_csv(path, separator="\\t")


def write_compressed("""
HELP = replacing(("Parquet, CSV or NDJSON", "Parquet, CSV, TSV or NDJSON"))
EDITS = {
    "src/homma/feed/files.py": replacing(
        ("def _ndjson(", SCAN), ('    ".csv": _csv,\n', '    ".csv": _csv,\n    ".tsv": _tsv,\n')
    ),
    "src/homma/cli/verbs/replay.py": HELP,
    "src/homma/cli/verbs/backfill.py": HELP,
    "tests/feed/test_recorded.py": replacing(
        ("def write_compressed(", WRITE),
        ('    ".csv": pl', '    ".tsv": write_tsv,\n    ".csv": pl'),
        ('[".parquet", ', '[".tsv", ".tsv.gz", ".parquet", '),
    ),
}


def test_values_separated_by_tabs(project: HommaCopy) -> None:
    follow(project, "Add a feed format", EDITS)
    project.passes("tests/feed/test_recorded.py", "-k", "every_format and tsv")
    unknown = project.finished("-m", "homma", "replay", "pyproject.toml")
    assert ".csv, .tsv, .ndjson" in unknown.stderr
