"""The registered model, as callers meet it."""
