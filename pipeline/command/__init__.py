"""Command: what all commands share: settings, help, exit codes, and the record of a run."""
