"""What is reckoned from measured times: the fit of a run's costs, and the plan of larger ones."""

import gzip
import json

import pytest
from bench.cohort import stamped
from bench.fit import Costs, fit, largest_error
from bench.plan import PAGE, RESULTS, Figures, Job, figures, fill, tables

WHERE = [(cases, workers) for cases in (8, 32, 128) for workers in (1, 2)]
KNOWN = Figures(
    {"crop": Job(2, 0.4, 0.01, 22), "predict": Job(10, 1.2, 0.05, 11)},
    task_s=0.001,
    trials_per_s=8,
    transactions_a_trial=100,
    transactions_per_s=1000,
)


def test_the_fit_finds_the_costs_that_times_were_made_of():
    costs = Costs(serial_s=5.0, case_s=1.5, overhead_s=0.02)
    taken = {where: costs.seconds(*where) for where in WHERE}
    assert taken[8, 2] == 5 + 8 * (0.75 + 0.02)
    found = fit(taken)
    assert (found.serial_s, found.case_s, found.overhead_s) == pytest.approx((5.0, 1.5, 0.02))
    assert largest_error(found, taken) == pytest.approx(0, abs=1e-9)


def test_no_cost_is_below_zero_where_two_workers_are_more_than_twice_as_fast():
    costs = fit({(cases, workers): cases / workers**1.1 for cases, workers in WHERE})
    assert costs.serial_s >= 0
    assert costs.overhead_s == 0


def test_the_error_is_that_of_the_worst_time():
    costs = Costs(serial_s=0, case_s=1, overhead_s=0)
    assert largest_error(costs, {(10, 1): 8.0, (10, 2): 5.0}) == pytest.approx(0.25)


def test_a_stamp_changes_the_bytes_and_not_the_content():
    old = gzip.compress(b"voxels")
    copies = [stamped(old, number) for number in range(3)]
    assert len(set(copies)) == 3
    assert {gzip.decompress(copy) for copy in copies} == {b"voxels"}


def test_a_part_is_full_where_workers_ask_for_all_that_it_can_do():
    """Crop: 0.4 s of a worker, 1 ms of the scheduler, 10 ms of the command; 22 MB at 110 MB/s are 0.2 s."""
    full = KNOWN.full_at("crop")
    assert full == pytest.approx({"scheduler": 400, "command": 40, "1 Gbit/s": 2, "10 Gbit/s": 20})


def test_the_slowest_part_decides_how_long_a_run_takes():
    assert KNOWN.run_s("crop", 1000, 1) == pytest.approx(2 + 1000 * 0.4)
    assert KNOWN.run_s("crop", 1000, 8) == pytest.approx(2 + 1000 * 0.05)
    assert KNOWN.run_s("crop", 1000, 64) == pytest.approx(2 + 1000 * 0.02)  # storage
    assert KNOWN.run_s("predict", 1000, 64) == pytest.approx(10 + 1000 * 0.05)  # the command


def test_the_tables_say_so():
    made = tables(KNOWN)
    assert [row["first"] for row in made["full"]] == ["1 Gbit/s", "1 Gbit/s"]
    *_, large = made["study"]
    assert large["the study"] == "2.6 h"  # 1,000 trials of ten minutes by 64
    assert large["transactions/s"] == pytest.approx(64 / 600 * 100)
    assert large["of what the database bore %"] == pytest.approx(64 / 600 * 100 / 1000 * 100)
    assert made["runs"][-1]["8 workers"] == "4.17 h"  # 100,000 cases of 1.2 s by 8


def test_tables_take_the_place_of_older_ones():
    page = "# Page\n<!-- a -->\n| old |\n<!-- end -->\ntext\n<!-- b -->\n<!-- end -->\n"
    filled = fill(page, {"a": [{"x": 1}], "b": [{"y": 2}]})
    assert "old" not in filled
    assert filled.index("| 1 |") < filled.index("text") < filled.index("| 2 |")
    assert fill(filled, {"a": [{"x": 1}], "b": [{"y": 2}]}) == filled
    with pytest.raises(ValueError, match="expected a place for c"):
        fill(page, {"c": []})


def test_the_page_has_a_place_for_every_table():
    text = PAGE.read_text()
    assert fill(text, tables(KNOWN)).count("<!-- end -->") == len(tables(KNOWN))


def test_the_page_says_what_was_measured():
    """`python -m bench.plan` writes it after a measurement."""
    try:
        known = figures(RESULTS)
    except FileNotFoundError as missing:
        pytest.skip(f"not measured yet: {missing.filename}")
    assert fill(PAGE.read_text(), tables(known)) == PAGE.read_text()


def test_figures_come_from_the_results(tmp_path):
    fitted = {"serial s": 2.0, "case s beside another": 0.4, "command s a case": 0.01}
    scaling = [
        {"what": "crop", "cases": 8},
        {"what": "crop: fit", **fitted},
        {"what": "predict: fit", **fitted, "command s a case": -0.001},
        {"what": "tasks that do nothing", "scheduler ms a task": 2.0, "command ms a task": 1.5},
        {"what": "MB a case: phantoms", "images MB": 9, "label MB": 1, "store MB": 12, "answer MB": 0.5},
    ]
    load = [
        {"what": "MLflow: processes", "trials/s": 3.0, "transactions a trial": 42.0},
        {"what": "Optuna: workers", "trials/s": 8.0, "transactions a trial": 60.0},
        {"what": "PostgreSQL", "transactions/s": 900.0},
    ]
    for name, rows in {"scaling": scaling, "shared_load": load}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": rows}))
    known = figures(tmp_path)
    assert known.jobs["crop"] == Job(2.0, 0.4, 0.01, 22)
    assert known.jobs["predict"] == Job(2.0, 0.4, 0.0015, 9.5)  # no less than for a task that does nothing
    # 14 calls of 3 transactions, 60 of system metrics in ten minutes, and Optuna's
    assert known.transactions_a_trial == pytest.approx(42 + 60 * 3 + 60)
    assert (known.task_s, known.trials_per_s) == (0.002, 8.0)
