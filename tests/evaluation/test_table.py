from glioseg.evaluation.table import dice_table, interval_line, lesion_line


def test_the_table_has_one_line_for_each_region():
    dice = {"mean": 0.9, "low": 0.85, "high": 0.95, "median": 0.91}
    metrics = {
        "dice": dict.fromkeys(("WT", "TC", "ET"), dice),
        "hd95_area_mm": {region: {"mean": 4.5} for region in ("WT", "TC", "ET")},
    }
    header, *lines = dice_table(metrics).splitlines()
    assert header.split() == ["test", "Dice", "95", "%", "interval", "median", "HD95,", "mm"]
    assert [line.split() for line in lines] == [
        [region, "0.900", "0.850", "to", "0.950", "0.910", "4.5"] for region in ("WT", "TC", "ET")
    ]
    assert len({len(line) for line in [header, *lines]}) == 1


def test_lesion_wise_dice_in_one_line():
    metrics = {"lesion_dice": {"WT": {"mean": 0.8}, "TC": {"mean": 0.75}, "ET": {"mean": 0.6151}}}
    assert lesion_line(metrics).endswith("WT 0.800, TC 0.750, ET 0.615")


def test_coverage_and_level_of_intervals_in_one_line():
    coverage = {"WT": 6 / 11, "TC": 1.0, "ET": 10 / 11}
    metrics = {"cases": 11, "volume_interval_level": 7 / 8, "volume_interval_coverage": coverage}
    line = "true volume in its 88 % interval: WT 6 of 11, TC 11 of 11, ET 10 of 11"
    assert interval_line(metrics) == line
    assert interval_line({"cases": 11}) == ""
