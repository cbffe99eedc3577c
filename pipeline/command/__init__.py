"""Command: what all commands share: settings, help, exit codes, completion and the run record."""
