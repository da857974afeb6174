"""The loss, precision, checkpoints, run records and the training loop (chapter 6).

    loss        cross-entropy, its lean twin, perplexity, bits per byte
    config      `TrainConfig`, everything that decides a run; `presets` names some
    precision   which numbers to compute with on which device
    checkpoints what a run saves, and the assignment's save and load
    records     `RunRecord`, a run's folder
    corpus      from the name of a text to ids, kept for the next run
    evaluation  the loss on text that was not trained on
    engines     what differs between one device and many
    trainer     `Trainer`, the loop; with `setup`, `throughput`, `stopping`, `mirrors`

The names are imported on first use.
"""

from typing import TYPE_CHECKING

from cs336_lib.doors import door

if TYPE_CHECKING:
    from cs336_lib.training.checkpoints.one_file import load_checkpoint, save_checkpoint
    from cs336_lib.training.config import TrainConfig
    from cs336_lib.training.corpus import PreparedCorpus, prepare
    from cs336_lib.training.evaluation import Evaluation, evaluate
    from cs336_lib.training.loss import bits_per_byte, chunked_cross_entropy, cross_entropy, perplexity
    from cs336_lib.training.records import RunRecord, find_runs
    from cs336_lib.training.stopping import Interrupted
    from cs336_lib.training.trainer import Trainer

_HOMES = {
    "cross_entropy": "loss",
    "chunked_cross_entropy": "loss",
    "perplexity": "loss",
    "bits_per_byte": "loss",
    "TrainConfig": "config",
    "save_checkpoint": "checkpoints.one_file",
    "load_checkpoint": "checkpoints.one_file",
    "RunRecord": "records",
    "find_runs": "records",
    "PreparedCorpus": "corpus",
    "prepare": "corpus",
    "evaluate": "evaluation",
    "Evaluation": "evaluation",
    "Trainer": "trainer",
    "Interrupted": "stopping",
}

__all__ = [
    "cross_entropy",
    "chunked_cross_entropy",
    "perplexity",
    "bits_per_byte",
    "TrainConfig",
    "Trainer",
    "Interrupted",
    "RunRecord",
    "find_runs",
    "save_checkpoint",
    "load_checkpoint",
    "PreparedCorpus",
    "prepare",
    "evaluate",
    "Evaluation",
]

__getattr__, __dir__ = door(__name__, _HOMES)
