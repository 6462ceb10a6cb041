"""Data from other people, and for them: other formats in (`importing`) and out (`exporting`, `results`)."""
