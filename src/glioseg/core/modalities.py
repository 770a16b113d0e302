"""Names of the images of a case: four MRI modalities and, for labelled cases, the segmentation."""

MODALITIES = ("t1", "t1ce", "t2", "flair")
SEGMENTATION = "seg"
ROLES = (*MODALITIES, SEGMENTATION)
SPELLINGS = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
"""The modalities as sentences spell them."""
