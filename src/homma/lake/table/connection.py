"""One namespace of a catalog, and its tables."""

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
from homma.lake.table.catalog_client import OnRequest, Properties, TimeoutCatalog, translated_errors
from homma.lake.table.storage import NAME as STORAGE
from homma.lake.table.table import Table

#: How long a request waits for the catalog's answer.
ANSWER_TIMEOUT_S: Final = 30.0


def _ignore_request(method: str, path: str, answered: bool) -> None:
    del method, path, answered


class Lake:
    """A namespace of the catalog that `properties` (pyiceberg's) describe."""

    def __init__(
        self,
        properties: Properties,
        namespace: str,
        on_request: OnRequest = _ignore_request,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        tokens = {"oauth2-server-uri": f"{properties['uri'].rstrip('/')}/v1/oauth/tokens"}
        storage = {"py-io-impl": STORAGE}
        self._properties = {
            **storage,
            **(tokens if "credential" in properties else {}),
            **properties,
        }
        self._namespace = tuple(namespace.split("."))
        with translated_errors("connecting to the catalog", properties):
            self._catalog = TimeoutCatalog(on_request, answer_timeout_s, **self._properties)

    def _full_name(self, spec: TableSpec) -> str:
        return ".".join((*self._namespace, spec.name))

    def table(self, spec: TableSpec) -> Table:
        """Open a table; TableMismatch if it is missing or differs from `spec`."""
        with translated_errors(f"opening {self._full_name(spec)}", self._properties):
            iceberg = self._catalog.load_table((*self._namespace, spec.name))
        return self._open(iceberg, spec)

    def has_table(self, spec: TableSpec) -> bool:
        """Whether a table exists; TableMismatch if it differs from `spec`."""
        with translated_errors(f"opening {self._full_name(spec)}", self._properties):
            try:
                iceberg = self._catalog.load_table((*self._namespace, spec.name))
            except (NoSuchTableError, NoSuchNamespaceError):
                return False
        definition.must_match(iceberg, spec)
        return True

    def ensure_table(self, spec: TableSpec) -> Table:
        """Open a table; create it and its namespace if missing."""
        name = (*self._namespace, spec.name)
        with translated_errors(f"creating {self._full_name(spec)}", self._properties):
            try:
                iceberg: Iceberg = self._catalog.load_table(name)
            except (NoSuchTableError, NoSuchNamespaceError):
                self._ensure_namespace()
                iceberg = self._create(name, spec)
        return self._open(iceberg, spec)

    def _create(self, name: tuple[str, ...], spec: TableSpec) -> Iceberg:
        schema = definition.schema(spec)
        iceberg: Iceberg
        try:
            iceberg = self._catalog.create_table(
                name,
                schema,
                partition_spec=definition.partitioning(spec, schema),
                sort_order=definition.sort_order(spec, schema),
                properties=definition.properties(spec),
            )
        except TableAlreadyExistsError:
            # Another process created it in the meantime.
            iceberg = self._catalog.load_table(name)
        return iceberg

    def _ensure_namespace(self) -> None:
        if self._catalog.namespace_exists(self._namespace):
            return
        try:
            self._catalog.create_namespace(self._namespace)
        except NamespaceAlreadyExistsError:
            return
        except (ForbiddenError, UnauthorizedError) as error:
            raise LakeDenied(
                f"namespace {'.'.join(self._namespace)} does not exist, and these credentials "
                "do not permit creating it",
                "create the namespace, or choose another namespace with --namespace",
            ) from error

    def _open(self, iceberg: Iceberg, spec: TableSpec) -> Table:
        definition.must_match(iceberg, spec)
        return Table(iceberg, spec, self._properties)

    def close(self) -> None:
        """Close the connections."""
        self._catalog.close()
