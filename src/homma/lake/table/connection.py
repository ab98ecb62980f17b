"""A catalog with one namespace, and its tables."""

from typing import Final

from pyiceberg.exceptions import (
    ForbiddenError,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
    UnauthorizedError,
)
from pyiceberg.table import Table as Iceberg

from homma.errors import LakeDenied
from homma.lake.schema import TableSpec
from homma.lake.table import definition
from homma.lake.table.catalog_client import PatientCatalog, Properties, Watch, asking
from homma.lake.table.storage import NAME as STORAGE
from homma.lake.table.table import Table

#: How long an answer of the catalog is waited for.
ANSWER_S: Final = 30.0


def _nobody(method: str, path: str, answered: bool) -> None:
    del method, path, answered


class Lake:
    """The catalog that `properties` (pyiceberg's) name, and a namespace in it."""

    def __init__(
        self,
        properties: Properties,
        namespace: str,
        watch: Watch = _nobody,
        answer_s: float = ANSWER_S,
    ) -> None:
        tokens = {"oauth2-server-uri": f"{properties['uri'].rstrip('/')}/v1/oauth/tokens"}
        storage = {"py-io-impl": STORAGE}
        self._properties = {
            **storage,
            **(tokens if "credential" in properties else {}),
            **properties,
        }
        self._namespace = tuple(namespace.split("."))
        with asking("connecting to the catalog", properties):
            self._catalog = PatientCatalog(watch, answer_s, **self._properties)

    def _named(self, spec: TableSpec) -> str:
        return ".".join((*self._namespace, spec.name))

    def table(self, spec: TableSpec) -> Table:
        """A table that is there; TableMismatch where it is missing, or not as it should be."""
        with asking(f"opening {self._named(spec)}", self._properties):
            found = self._catalog.load_table((*self._namespace, spec.name))
        return self._checked(found, spec)

    def fits(self, spec: TableSpec) -> bool:
        """Whether a table is there; TableMismatch where it is not as it should be."""
        with asking(f"opening {self._named(spec)}", self._properties):
            try:
                found = self._catalog.load_table((*self._namespace, spec.name))
            except (NoSuchTableError, NoSuchNamespaceError):
                return False
        definition.must_match(found, spec)
        return True

    def make(self, spec: TableSpec) -> Table:
        """The same as `table`, made where it is missing, with its namespace."""
        name = (*self._namespace, spec.name)
        with asking(f"making {self._named(spec)}", self._properties):
            try:
                found: Iceberg = self._catalog.load_table(name)
            except (NoSuchTableError, NoSuchNamespaceError):
                self._make_namespace()
                found = self._create(name, spec)
        return self._checked(found, spec)

    def _create(self, name: tuple[str, ...], spec: TableSpec) -> Iceberg:
        wanted = definition.schema(spec)
        found: Iceberg
        try:
            found = self._catalog.create_table(
                name,
                wanted,
                partition_spec=definition.partitioning(spec, wanted),
                sort_order=definition.sort_order(spec, wanted),
                properties=definition.properties(spec),
            )
        except TableAlreadyExistsError:
            # Another process made it at the same moment.
            found = self._catalog.load_table(name)
        return found

    def _make_namespace(self) -> None:
        if self._catalog.namespace_exists(self._namespace):
            return
        try:
            self._catalog.create_namespace(self._namespace)
        except NamespaceAlreadyExistsError:
            return
        except (ForbiddenError, UnauthorizedError) as error:
            raise LakeDenied(
                f"there is no namespace {'.'.join(self._namespace)}, and it may not be made here",
                "make it, or name another with --namespace",
            ) from error

    def _checked(self, found: Iceberg, spec: TableSpec) -> Table:
        definition.must_match(found, spec)
        return Table(found, spec, self._properties)

    def close(self) -> None:
        """Let go of the connections."""
        self._catalog.close()
