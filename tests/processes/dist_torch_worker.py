"""What one of two ranks does, everything that the tests look at; the results are in the folder as JSON."""

import json
import os
import warnings

import torch
from dist_torch_setup import CASES, CONFIG, MODEL, set_type, train

from cs336_lib.model import ModelConfig
from cs336_lib.training import Trainer
from cs336_lib.training.engines.distributed import DataParallel
from cs336_lib.training.precision import decide
from cs336_lib.training.ranks import started


def error_of(make):
    """Return what an error looks like to the user."""
    try:
        make()
    except Exception as error:
        return [type(error).__name__, str(error), getattr(error, "__notes__", [])]
    return None


def leave_at_once(folder):
    """Leave groups of one rank while they still work on something; the model goes when the group has gone."""
    os.environ.update(RANK="0", WORLD_SIZE="1")
    many, precision = 20_000_000, decide("cpu", (0, 0), "auto", tf32=False)
    for number in range(3):
        with started("ddp", "cpu", rendezvous=f"file://{folder / str(number)}") as ranks:
            engine = DataParallel(torch.device("cpu"), precision, ranks)
            engine.setup(torch.nn.Linear(2, 2))
            torch.distributed.all_gather([torch.zeros(many)], torch.ones(many), async_op=True)
        del engine


def work(folder, cache):
    """Do it.

    Args:
        folder: of the results.
        cache: folder of compiled kernels.
    """
    torch.set_num_threads(1)
    os.environ["CS336_CACHE_DIR"] = str(cache)
    rank, read, errors = int(os.environ["RANK"]), {}, {}
    with started("ddp", "cpu", timeout=60, rendezvous=f"file://{folder / 'meeting'}") as ranks:
        for parallel in ("ddp", "fsdp"):
            options = {"parallel": parallel, "ranks": ranks}
            for case, config in CASES.items():
                set_type(case)
                read[f"{parallel}-{case}"] = train(folder / f"{parallel}-{case}", config, **options)
            set_type("adamw")
            for optimizer in ("adamw", "muon"):
                config = CONFIG.replace(optimizer=optimizer)
                train(folder / f"{parallel}-{optimizer}-two-to-one", config, stop_before=4, **options)
                resumed = folder / f"{parallel}-{optimizer}-one-to-two"
                read[resumed.name] = train(resumed, None, resume=True, **options)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                train(folder / f"{parallel}-damaged", CONFIG.replace(checkpoint_every=2), stop_before=4, **options)
                if rank == 0:
                    file = next((folder / f"{parallel}-damaged/checkpoints/step-00000004/shards").glob("__1_*"))
                    file.write_bytes(file.read_bytes()[:-3])
                ranks.gather(None)
                train(folder / f"{parallel}-damaged", None, resume=True, **options)
            errors[f"{parallel}-damaged"] = [str(one.message) for one in said if "skipping" in str(one.message)]

            def start(config, parallel=parallel, corpus=True):
                if corpus:
                    train(folder / "never", config, parallel=parallel, ranks=ranks)
                else:
                    Trainer(config, folder / "never", progress=False, parallel=parallel, ranks=ranks)

            errors[f"{parallel}-batch"] = error_of(lambda: start(CONFIG.replace(batch_size=7)))
            errors[f"{parallel}-config"] = error_of(lambda: start(CONFIG.replace(lr=0.01 + rank)))
            home = folder / f"home-{rank}"
            home.mkdir(exist_ok=True)
            if rank == 0:
                (home / "text.txt").write_text("The cat sat. " * 200)
            os.chdir(home)
            bytes_only = ModelConfig(**{**MODEL.__dict__, "vocab_size": 260})
            no_text = CONFIG.replace(data="./text.txt", model=bytes_only)
            errors[f"{parallel}-text"] = error_of(lambda: start(no_text, corpus=False))  # noqa: B023
            other = folder / f"{parallel}-other"
            errors[f"{parallel}-other"] = error_of(lambda: train(other, None, resume=True, **options))  # noqa: B023
            errors[f"{parallel}-taken"] = error_of(lambda: train(folder / "ddp-adamw", CASES["adamw"], **options))  # noqa: B023
    (folder / f"rank-{rank}.json").write_text(json.dumps({"read": read, "errors": errors}))
