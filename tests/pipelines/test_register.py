"""Stage register with written outputs of the earlier stages."""

import subprocess
import sys

import pandas as pd
import pytest

import register
from glioseg.core.labels import REGIONS
from glioseg.evaluation.per_case import Cost
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models.inference.predictor import Predictor
from tests.helpers.models import make_settings
from tests.helpers.stages import ROOT, champion, write_evaluated_model


def test_register_prints_the_table_and_the_next_steps(stage_project, capsys):
    write_evaluated_model("x", "d", 0.81)
    register.main()
    out = capsys.readouterr().out
    assert "register: glioseg version 1 is the champion: the first champion" in out
    for region in REGIONS:
        assert [region, "0.810", "0.810", "to", "0.810", "0.810", "0.8"] in [
            line.split() for line in out.splitlines()
        ]
    for command in ("make ui", "make serve", "glioseg predict", "reports/pictures"):
        assert command in out


def test_a_second_registration_does_not_import_mlflow(stage_project):
    write_evaluated_model("x", "d", 0.8)
    register.main()
    code = "import sys; sys.path.insert(0, sys.argv[1]); import register; register.main()"
    code += "; sys.exit('mlflow' in sys.modules or 'pandas' in sys.modules)"
    again = subprocess.run(
        [sys.executable, "-c", code, ROOT / "pipelines"], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "register: glioseg version 1 is this model already; the champion is version 1" in again.stdout
    assert len(connect(ProjectStorage.current()).search_model_versions("name = 'glioseg'")) == 1


@pytest.mark.parametrize(("dice", "moves"), [(0.6, True), (0.4, False)])
def test_a_champion_of_another_test_split_is_evaluated_on_the_current_one(
    stage_project, monkeypatch, dice, moves
):
    """The current champion has a Dice of 0.5 there."""
    write_evaluated_model("current", "d", 0.99)
    register.main()
    write_evaluated_model("new", "c", dice)

    def load(folder):
        return Predictor(((folder / "model.keras").read_text(),), make_settings())

    scored = []

    def score(model, cases, *, pictures):
        assert model.models == ("current",)
        scored.extend(case.case for case in cases)
        table = pd.DataFrame([{"case": "c", "dice_wt": 0.5, "dice_tc": 0.5, "dice_et": 0.5}])
        return table, [Cost(3.0, 2.0)]

    monkeypatch.setattr("glioseg.models.inference.loading.load_model", load)
    monkeypatch.setattr("glioseg.evaluation.per_case.evaluate_cases", score)
    register.main()
    assert scored == ["c"]
    assert int(champion()) == (2 if moves else 1)
