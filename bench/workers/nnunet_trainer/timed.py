"""nnU-Net's own trainer, ended by the clock; nnU-Net finds it through `nnUNet_extTrainer`."""

import os
import time

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class TimeIsOver(Exception):  # noqa: N818 - it is no error
    """Ends the training loop."""


class TimedTrainer(nnUNetTrainer):
    """Everything as nnU-Net has it, except when training ends.

    `BENCH_MINUTES` takes the place of 1,000 epochs: the learning rate follows the same polynomial,
    over the share of the time that has passed. An epoch has 10 steps and 2 validation steps instead of
    250 and 50, so that some epochs end at all on two cores.
    """

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 10, 2
        self.limit_s, self.steps = 60 * float(os.environ["BENCH_MINUTES"]), 0

    def run_training(self):
        """Train until the time is over, and write the final checkpoint."""
        try:
            super().run_training()
        except TimeIsOver:
            self.seconds = time.monotonic() - self.begun
            self.on_train_end()

    def on_train_start(self):
        """Start the clock once the data loaders run."""
        super().on_train_start()
        self.begun = time.monotonic()

    def train_step(self, batch):
        """One step of nnU-Net's."""
        passed = (time.monotonic() - self.begun) / self.limit_s
        if passed >= 1:
            raise TimeIsOver
        self.lr_scheduler.step(passed * self.num_epochs)
        self.steps += 1
        return super().train_step(batch)
