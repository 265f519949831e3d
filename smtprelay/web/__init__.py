"""The page, metrics and probes: imported when somebody connects."""
