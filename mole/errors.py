"""What can go wrong with a run, drawn once; each kind carries the exit code of the command that meets it.

    MoleError
    ├── SettingsError   2   the user asked for something that cannot be done
    ├── StorageError    3   a store did not answer or refused
    │   └── HeldError   7   another run holds the output: nothing is wrong, and nothing is to be done
    ├── ModelError      4   a checkpoint or a tower cannot be used
    ├── CompletenessError        5   an image was lost or counted twice
    └── RefusedError    6   a candidate is worse than what it was to replace

A bad image is none of these: it is a row of the verdict table with its status.
"""


class MoleError(Exception):
    """Something that ends a run; its text names the value at fault, the bound, and who must act."""

    exit_code = 1


class SettingsError(MoleError):
    """A setting is refused; the user changes it and starts again."""

    exit_code = 2


class StorageError(MoleError):
    """A store failed; what is already written stays good and the run can be started again."""

    exit_code = 3


class HeldError(StorageError):
    """Another run holds the output; it goes on, and this one may be started again when it has ended."""

    exit_code = 7


class ModelError(MoleError):
    """A checkpoint, its tower or its numbers cannot be used."""

    exit_code = 4


class CompletenessError(MoleError):
    """The verdict table does not hold every planned image exactly once."""

    exit_code = 5


class RefusedError(MoleError):
    """The gate does not let a candidate pass; what is promoted stays."""

    exit_code = 6
