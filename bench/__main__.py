"""Run the benchmarks: `python -m bench`, from the repository's root."""

import argparse
import os
import shutil
import sys
from pathlib import Path

from bench import (
    ablation,
    add_case,
    infer_case,
    input_pipeline,
    machine,
    prepare_cases,
    prepare_memory,
    quality,
    read_patch,
    report,
    repro_again,
    scaling,
    serve,
    shared_load,
    train_step,
)
from bench.options import Options
from bench.results import done, save
from bench.worker import WorkerError
from glioseg.errors import GliosegError

BENCHMARKS = {
    "train_step": train_step,
    "input_pipeline": input_pipeline,
    "read_patch": read_patch,
    "prepare_cases": prepare_cases,
    "prepare_memory": prepare_memory,
    "add_case": add_case,
    "repro_again": repro_again,
    "infer_case": infer_case,
    "serve": serve,
    "scaling": scaling,
    "shared_load": shared_load,
    "quality": quality,
    "ablation": ablation,
}


def main() -> None:
    """Run those that are not done yet, each by itself, and write the page after each."""
    arguments = _arguments()
    options = Options(
        smoke=arguments.smoke,
        minutes=arguments.minutes,
        train_minutes=arguments.train_minutes,
        model=arguments.model,
        real=Path(real) if (real := os.environ.get("GLIOSEG_REAL_SCANS")) else None,
    )
    machine.pin()
    here = machine.describe()
    files = {name: options.results / f"{name}.json" for name in BENCHMARKS}
    for name in [arguments.only] if arguments.only else BENCHMARKS:
        benchmark = BENCHMARKS[name]
        record = {"settings": options.settings(benchmark.USES), "machine": here}
        if not arguments.fresh and done(files[name], **record):
            print(f"{name}: done already ({files[name]}); --fresh measures again")
            continue
        if arguments.fresh:
            shutil.rmtree(options.work / name, ignore_errors=True)
        print(f"{name}: running, logs in {options.work / 'logs'}", flush=True)
        save(files[name], benchmark.run(options), **record)
        report.write(options.page, files, {name: module.TITLE for name, module in BENCHMARKS.items()})
    print(f"all results: {options.page}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, help="run this one alone")
    parser.add_argument(
        "--fresh", action="store_true", help="measure again what is done already, from its trainings on"
    )
    parser.add_argument("--minutes", type=float, default=20, help="training time in quality")
    parser.add_argument("--train-minutes", type=float, default=20, help="of infer_case's 1 mm network")
    parser.add_argument("--model", type=Path, help="a trained 1 mm model folder for infer_case")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it work?")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (GliosegError, OSError, ValueError, WorkerError) as error:
        sys.exit(f"bench: {error}")
