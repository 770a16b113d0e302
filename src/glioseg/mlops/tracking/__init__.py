"""Where runs, models and their files are stored, and how they are logged."""
