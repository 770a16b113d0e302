"""Stage evaluate: measure the model on the test cases, draw them, and report."""

import json
from dataclasses import asdict
from pathlib import Path

from _stage import run
from glioseg.data.cases import COHORT, Case, read_cases
from glioseg.eval.cases import judge_cases, predict_cases
from glioseg.eval.summary import summarise
from glioseg.eval.table import dice_table, lesion_line
from glioseg.files import replaced_whole, write_whole
from glioseg.lab.lineage import data_version, sha256_files
from glioseg.nets.inference import load_model
from glioseg.params import Params, load_params, with_best

RAW, SPLITS, BEST = Path("data/raw"), Path("data/splits.json"), Path("reports/tune/best_params.json")
MODEL, RECORD, REPORTS = Path("models/settled"), Path("reports/settle/model.json"), Path("reports")
METRICS, PER_CASE, PAGE = REPORTS / "metrics.json", REPORTS / "per_case.csv", REPORTS / "report.html"
SHOWN = {"network", "train", "inference", "crop", "split", "evaluate"}


def main() -> None:
    # Worker processes import this file too: what they do not need is imported here.
    from glioseg.eval.outcomes import outcome_scores
    from glioseg.eval.report import write_report
    from glioseg.eval.subsets import subset_dice
    from glioseg.lab.tracking import flatten, log_evaluation

    params, trained = load_params(), json.loads(RECORD.read_text())
    asked, cases, segmenter = params.evaluate, cases_of("test"), load_model(MODEL)
    answer = segmenter.answer
    with replaced_whole(REPORTS / "predictions") as masks, replaced_whole(REPORTS / "pictures") as pictures:
        answers = predict_cases(answer, cases, masks)
        table = judge_cases(cases, answers, predictions=masks, pictures=pictures, imagej=asked.imagej)
        metrics = summarise(table, samples=asked.bootstrap_samples, seed=asked.seed)
        metrics |= outcome_scores(table, training=learned_from(params.train.folds))
        if asked.modality_subsets:
            metrics["modality_subsets"] = subset_dice(answer, cases)
        settings = flatten(tuned(params).model_dump(mode="json", include=SHOWN))
        settings |= flatten({"model": asdict(segmenter.settings)})
        page = write_report(table, metrics, pictures=pictures, origin=origin(cases, trained), params=settings)
    write_whole(PER_CASE, table.to_csv(index=False).encode())
    write_whole(PAGE, page.encode())
    write_whole(METRICS, json.dumps(metrics, indent=2, allow_nan=False).encode() + b"\n")
    files = [METRICS, PER_CASE, PAGE, *sorted((REPORTS / "pictures").iterdir())]
    log_evaluation(run=trained, metrics=metrics, files=files)
    print(f"evaluate: {len(cases)} test cases, pictures and all numbers in {PAGE}\n\n{dice_table(metrics)}")
    print(lesion_line(metrics))


def cases_of(part: str) -> list[Case]:
    return read_cases(RAW / COHORT, json.loads(SPLITS.read_text())[part])


def learned_from(folds: int) -> list[Case]:
    parts = ("train", "validation") if folds > 1 else ("train",)
    return [case for part in parts for case in cases_of(part)]


def tuned(params: Params) -> Params:
    return with_best(params, json.loads(BEST.read_text()))


def origin(cases: list[Case], trained: dict[str, str]) -> dict[str, str]:
    return {
        "DVC's hash of data/cropped": data_version(),
        "SHA-256 of the test cases' files": sha256_files(
            file for case in cases for file in case.files.values()
        ),
        "MLflow run that trained the model": trained["run_id"],
        "MLflow's name of the model": trained["model_id"],
    }


if __name__ == "__main__":
    run(main)
