"""Every error that homma raises on purpose, in one tree.

HommaError                 a problem and its remedy
├── SettingError           a flag, variable or file entry is invalid (exit status 2)
├── FeedError              a file of recorded ticks cannot be read or sent
├── KafkaError             a broker refused a request or did not answer
│   ├── Unreachable        no broker answered
│   ├── KafkaDenied        the login was rejected or lacks a permission
│   ├── TopicMissing       a topic does not exist
│   ├── TopicMismatch      a topic exists but does not match the contract
│   ├── OffsetGone         the next offset of a partition no longer exists
│   ├── Fenced             another owner has taken over the partition
│   ├── Aborted            the transaction was rolled back
│   └── OutcomeUnknown     it is unknown whether the transaction was committed
├── StateError             candles, offsets and ticks do not belong together
│   └── SplitSeries        one series is in two partitions
├── LakeError              the lake's catalog or storage refused a request or did not answer
│   ├── LakeUnreachable    the catalog or the storage did not answer
│   ├── LakeDenied         the credentials are missing, wrong or insufficient
│   ├── TableMismatch      a table is missing or does not match the contract
│   ├── CommitRefused      the table has changed since it was read; nothing was written
│   ├── CommitUnknown      it is unknown whether the commit succeeded
│   ├── StaleSink          another sink has taken over the table
│   └── OffsetsLost        the topic no longer has records that a table lacks
├── RequestRefused         a request to `homma serve` cannot be answered
├── ClockSetBack           the machine's clock was set back under a running program
├── InternalError          homma broke one of its own rules: a bug
└── StackError             an embedded server cannot be installed, started or stopped
    ├── PortInUse          another program listens on a server's port
    ├── FolderInUse        another homma process uses the data folder
    ├── JarChanged         a jar does not match its checksum in the lock file
    └── ServerFailed       a server exited or did not become ready
"""


class HommaError(Exception):
    """A problem and its remedy.

    The problem says what happened and where; the message contains both.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}; {remedy}")

    def __reduce__(self) -> tuple[type["HommaError"], tuple[str, str]]:
        """Keep both parts when the error is pickled for another process."""
        return type(self), (self.problem, self.remedy)


class SettingError(HommaError):
    """A flag, variable or file entry is invalid."""


class FeedError(HommaError):
    """A file of recorded ticks cannot be read or sent."""


class KafkaError(HommaError):
    """A broker refused a request or did not answer."""


class Unreachable(KafkaError):
    """No broker answered."""


class KafkaDenied(KafkaError):
    """The login was rejected or lacks a permission."""


class TopicMissing(KafkaError):
    """A topic does not exist."""


class TopicMismatch(KafkaError):
    """A topic exists but does not match the contract."""


class OffsetGone(KafkaError):
    """The next offset of a partition no longer exists."""


class Fenced(KafkaError):
    """Another owner has taken over the partition."""


class Aborted(KafkaError):
    """The transaction was rolled back: return to the state before it and repeat it."""


class OutcomeUnknown(KafkaError):
    """It is unknown whether the transaction was committed: a new producer must determine it."""


class StateError(HommaError):
    """Candles, offsets and ticks do not belong together."""


class SplitSeries(StateError):
    """One series is in two partitions, which would write two partial candles under one key."""


class LakeError(HommaError):
    """The lake's catalog or storage refused a request or did not answer."""


class LakeUnreachable(LakeError):
    """The catalog or the storage did not answer."""


class LakeDenied(LakeError):
    """The credentials are missing, wrong or insufficient."""


class TableMismatch(LakeError):
    """A table is missing or does not match the contract."""


class CommitRefused(LakeError):
    """The table has changed since it was read; nothing was written."""


class CommitUnknown(LakeError):
    """It is unknown whether the commit succeeded; the table's snapshots show it."""


class StaleSink(LakeError):
    """Another sink has taken over the table."""


class OffsetsLost(LakeError):
    """The topic no longer has records that a table lacks."""


class RequestRefused(HommaError):
    """A request cannot be answered.

    `status` is the HTTP status, `parameter` is the name of the invalid parameter.
    """

    def __init__(self, problem: str, remedy: str, status: int = 400, parameter: str = "") -> None:
        super().__init__(problem, remedy)
        self.status = status
        self.parameter = parameter


class ClockSetBack(HommaError):
    """The machine's clock was set back under a running program."""


class InternalError(HommaError):
    """homma broke one of its own rules, which is a bug: the work stops before it is committed."""

    def __init__(
        self,
        problem: str,
        remedy: str = (
            "this is a bug in homma, please report it; the next start continues from the last "
            "commit"
        ),
    ) -> None:
        super().__init__(problem, remedy)


class StackError(HommaError):
    """An embedded server cannot be installed, started or stopped."""


class PortInUse(StackError):
    """Another program listens on a server's port."""


class FolderInUse(StackError):
    """Another homma process uses the data folder."""


class JarChanged(StackError):
    """A jar does not match its checksum in the lock file."""


class ServerFailed(StackError):
    """A server exited or did not become ready."""
