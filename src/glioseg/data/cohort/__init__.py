"""The cases of a cohort: layouts, tables, label schemes, ingest, per-case cache and splits."""
