"""What operators do: push, back up, restore, verify, lint, look."""

PLAYBOOK = frozenset(
    [
        "already_exists",
        "backup_failed",
        "backup_needed",
        "backup_no_space",
        "backup_not_found",
        "backup_unreadable",
        "database_unavailable",
        "file_unusable",
        "invalid_value",
        "migration_edited",
        "migration_failed",
        "migration_file_missing",
        "migration_locked_out",
        "migration_name_invalid",
        "migration_refused",
        "migration_version_taken",
        "restore_failed",
        "restore_refused",
        "run_in_progress",
        "run_lost",
        "schema_differs",
        "setting_invalid",
        "setting_missing",
        "tool_failed",
        "tool_missing",
        "tool_timed_out",
    ]
)
"""Codes that docs/operations.md has an entry for, under their own name."""
