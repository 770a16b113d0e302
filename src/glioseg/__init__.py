"""From brain MRI to a registered, served tumour-segmentation model, with proof of how each came to be."""
