"""The files of a case: four MRI contrasts and, where it is known, the segmentation."""

MODALITIES = ("t1", "t1ce", "t2", "flair")
SEGMENTATION = "seg"
ROLES = (*MODALITIES, SEGMENTATION)
