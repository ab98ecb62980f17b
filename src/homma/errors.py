"""Every error that homma raises on purpose, in one tree.

HommaError                 says what happened, where, and what to do
├── SettingError           a flag, variable or file entry that cannot be used (exit status 2)
├── FeedError              a file of recorded ticks that cannot be read or sent
├── KafkaError             a broker said no, or did not answer
│   ├── Unreachable        no broker answered
│   ├── TopicMismatch      a topic is there, but not as the contract wants it
│   └── Fenced             another owner has taken over the partition
├── StateError             candles, offsets and ticks that do not belong together
│   └── SplitSeries        one series stands in two partitions
├── LakeError              the lake's catalog or storage said no, or did not answer
│   ├── LakeUnreachable    nobody answered
│   ├── LakeDenied         it answered that we may not
│   ├── TableMismatch      a table is there, but not as the contract wants it, or it is missing
│   ├── CommitRefused      the table has moved on since it was looked at; nothing was written
│   ├── CommitUnknown      no telling whether a commit went through
│   ├── StaleSink          another sink has taken the table over
│   └── OffsetsLost        the topic no longer holds what a table lacks
├── Refused                a request to `homma serve` that cannot be answered as it is
├── ClockSetBack           the machine's clock went back under a running program
└── StackError             an embedded server
    ├── PortInUse
    ├── FolderInUse
    ├── JarChanged
    └── ServerFailed
"""


class HommaError(Exception):
    """What happened and where, then what to do about it, as one sentence."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}; {remedy}")

    def __reduce__(self) -> tuple[type["HommaError"], tuple[str, str]]:
        """Keep both parts when the error crosses a process."""
        return type(self), (self.what, self.remedy)


class SettingError(HommaError):
    """A flag, variable or file entry that cannot be used."""


class FeedError(HommaError):
    """A file of recorded ticks that cannot be read or sent."""


class KafkaError(HommaError):
    """A broker said no, or did not answer."""


class Unreachable(KafkaError):
    """No broker answered."""


class TopicMismatch(KafkaError):
    """A topic is there, but not as the contract wants it."""


class Fenced(KafkaError):
    """Another owner has taken over the partition."""


class StateError(HommaError):
    """Candles, offsets and ticks that do not belong together."""


class SplitSeries(StateError):
    """One series stands in two partitions, which would give two half candles of one key."""


class LakeError(HommaError):
    """The lake's catalog or storage said no, or did not answer."""


class LakeUnreachable(LakeError):
    """The catalog or the storage did not answer."""


class LakeDenied(LakeError):
    """The credentials are missing, wrong, or do not suffice."""


class TableMismatch(LakeError):
    """A table is there, but not as the contract wants it, or it is missing."""


class CommitRefused(LakeError):
    """The table has moved on since it was looked at: nothing was written."""


class CommitUnknown(LakeError):
    """The answer to a commit is missing: the table tells whether it went through."""


class StaleSink(LakeError):
    """Another sink has taken the table over."""


class OffsetsLost(LakeError):
    """The topic no longer holds what a table lacks."""


class RequestRefused(HommaError):
    """A request that cannot be answered as it is; `status` is HTTP's, `parameter` what is wrong."""

    def __init__(self, what: str, remedy: str, status: int = 400, parameter: str = "") -> None:
        super().__init__(what, remedy)
        self.status = status
        self.parameter = parameter


class ClockSetBack(HommaError):
    """The machine's clock went back under a running program."""


class StackError(HommaError):
    """An embedded server cannot be had, started or stopped."""


class PortInUse(StackError):
    """Another program listens where a server should."""


class FolderInUse(StackError):
    """Another homma owns the data folder."""


class JarChanged(StackError):
    """A jar's bytes are not those of the lock file."""


class ServerFailed(StackError):
    """A server ended, or did not become ready."""
