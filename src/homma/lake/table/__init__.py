"""Iceberg tables, by pyiceberg: the only package that imports pyiceberg and pyarrow."""

from homma.lake.table.catalog_client import Properties as Properties
from homma.lake.table.connection import Lake as Lake
from homma.lake.table.table import Part as Part
from homma.lake.table.table import Table as Table
from homma.lake.table.table import Uploaded as Uploaded
from homma.lake.table.where import EVERYTHING as EVERYTHING
from homma.lake.table.where import Where as Where
