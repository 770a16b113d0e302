"""The lineage of registered versions: recording it, tracing it, reproducing a version, and its model card."""
