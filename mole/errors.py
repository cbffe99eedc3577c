"""The errors that end a run, each with the exit code of the command.

    MoleError
    ├── SettingsError       2   a setting is invalid or names something that does not exist
    ├── StorageError        3   a store did not respond or denied access
    │   └── HeldError       7   another run holds the lock on the output; nothing to fix
    ├── ModelError          4   a checkpoint or a tower cannot be used
    ├── CompletenessError   5   an image was lost or counted twice
    └── RefusedError        6   a candidate is worse than the version that it was to replace

A bad image is not an error: it is a row of the verdict table with its status.
"""


class MoleError(Exception):
    """An error that ends a run; its message names the value at fault, the bound, and who must act."""

    exit_code = 1


class SettingsError(MoleError):
    """A setting is invalid; the user changes it and starts again."""

    exit_code = 2


class StorageError(MoleError):
    """A store failed; what is already written stays valid and the run can be started again."""

    exit_code = 3


class HeldError(StorageError):
    """Another run holds the lock on the output; this one can be started again when that one has ended."""

    exit_code = 7


class ModelError(MoleError):
    """A checkpoint, its tower or its outputs cannot be used."""

    exit_code = 4


class CompletenessError(MoleError):
    """A planned image or sample is missing from the result, or is in it more than once."""

    exit_code = 5


class RefusedError(MoleError):
    """The promotion gate rejects a candidate; the promoted version stays."""

    exit_code = 6
