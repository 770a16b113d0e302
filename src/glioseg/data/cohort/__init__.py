"""The cases of a cohort: where their files lie, whose they are, how they are labelled and split."""
