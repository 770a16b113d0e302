"""Worker: nnU-Net v2, its own trainer until the time is over, and its predictor without mirroring."""

import time
from pathlib import Path

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.run_training import get_trainer_from_args
from serve import serve

CONFIGURATION, TRAINER, CPU = "3d_fullres", "TimedTrainer", torch.device("cpu")


def train(*, dataset: str) -> dict[str, object]:
    """Train fold 0 of a planned and preprocessed dataset."""
    trainer = get_trainer_from_args(dataset, CONFIGURATION, 0, TRAINER, device=CPU)
    trainer.run_training()
    plan = trainer.configuration_manager
    return {
        "seconds": trainer.seconds,
        "steps": trainer.steps,
        "patch": "×".join(map(str, plan.patch_size)),
        "batch": plan.batch_size,
    }


def predict(*, model: str, cases: dict[str, list[str]], out: str) -> float:
    """Segment cases of four images; write nested label maps; return the seconds."""
    begun = time.monotonic()
    predictor = nnUNetPredictor(use_mirroring=False, perform_everything_on_device=False, device=CPU)
    predictor.initialize_from_trained_model_folder(model, (0,))
    targets = [str(Path(out) / name) for name in cases]
    predictor.predict_from_files_sequential(list(cases.values()), targets)
    return time.monotonic() - begun


if __name__ == "__main__":
    serve(train, predict)
