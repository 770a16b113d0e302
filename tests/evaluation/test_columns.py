from glioseg.core.labels import REGIONS
from glioseg.evaluation.columns import METRICS, PREDICTION_METRICS, REGION_METRICS, STRUCTURES, column


def test_every_metric_of_every_structure_has_its_own_column():
    names = [column(metric, structure) for metric in METRICS for structure in STRUCTURES]
    names += [
        column(metric, region) for metric in (*REGION_METRICS, *PREDICTION_METRICS) for region in REGIONS
    ]
    assert len(set(names)) == len(names) == 4 * 6 + (8 + 4) * 3


def test_stored_column_names():
    """Tables of earlier versions have these columns."""
    assert column("hd95_area_mm", "WT") == "hd95_area_wt_mm"
    assert column("dice", "label_NCR") == "dice_label_ncr"
    assert column("truth_ml", "ET") == "truth_et_ml"
    assert column("confidence", "TC") == "confidence_tc"
