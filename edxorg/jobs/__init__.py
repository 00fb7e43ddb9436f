"""The location's jobs and schedules, one subject a module."""
