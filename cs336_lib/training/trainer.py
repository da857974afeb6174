"""The training loop (chapter 6).

    for each step:  set the learning rate; for each part of the batch: loss, backward; clip; update
    every so often: a line of metrics, an evaluation, a sample, a checkpoint

Between two lines of metrics nothing waits for the device: losses are added up there, and read when the line is due.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from cs336_lib.data.batches import EpochSampler, resident
from cs336_lib.model import TransformerLM
from cs336_lib.training import setup
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.corpus import PreparedCorpus, prepare
from cs336_lib.training.engine import make_engine
from cs336_lib.training.evaluation import Evaluation, evaluate, flat_ids
from cs336_lib.training.mirrors import Mirror, open_mirrors
from cs336_lib.training.precision import apply_tf32
from cs336_lib.training.ranks import Parallel, Ranks
from cs336_lib.training.records import Onlooker, RunRecord
from cs336_lib.training.run_checkpoints import Snapshot
from cs336_lib.training.stopping import DivergedError, Stop, check_loss
from cs336_lib.training.throughput import Throughput, find_peak

Writer = Callable[[TransformerLM, Any, TrainConfig], str]
"""Writes a sample: (model, tokenizer, config) -> text; `cs336_lib.generation.training_sample` is one."""


class Trainer:
    """Trains one model and keeps the record of it.

    Args:
        config: the run.
        folder: where the record goes; `runs/NAME` when None. One that is there already is for `Trainer.resume`.
        corpus: what to read; by default what the config names.
        write_sample: writes the samples; none when None.
        progress: show a progress bar.
        parallel: how the processes of `ranks` share the work: "ddp" or "fsdp".
        ranks: the processes, each of which makes a trainer; from `cs336_lib.training.ranks.started`.

    Raises:
        FileExistsError: the folder holds a run already.
        ValueError: config, corpus, device and number of processes do not fit together.

    Source: handout, section 5.3 and problem (training_together).

    >>> import tempfile, numpy as np
    >>> from cs336_lib.model import ModelConfig
    >>> model = ModelConfig(vocab_size=11, context_length=8, d_model=16, num_layers=1, num_heads=2)
    >>> config = TrainConfig(model, data="counting", steps=60, warmup_steps=5, lr=0.03, device="cpu", log_every=20)
    >>> counting = np.arange(2000) % 11
    >>> corpus = PreparedCorpus(None, counting, counting[:500])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trainer = Trainer(config, Path(folder) / "run", corpus, progress=False)
    ...     record = trainer.fit()
    ...     record.status["status"], record.last("valid_loss") < 0.1
    ('finished', True)
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: str | Path | None = None,
        corpus: PreparedCorpus | None = None,
        *,
        write_sample: Writer | None = None,
        progress: bool = True,
        parallel: Parallel | None = None,
        ranks: Ranks | None = None,
        _record: RunRecord | None = None,
    ) -> None:
        folder = Path("runs") / config.name if folder is None else Path(folder)
        ranks = ranks or Ranks()
        self.config, self.progress, self.write_sample = config, progress and ranks.rank == 0, write_sample
        ranks.check_same("config", {**config.to_dict(), "parallel": parallel})
        with ranks.together():
            if _record is None and (folder / "config.json").exists():
                RunRecord.create(folder, config, {})  # raises: say so before hours of preparation
            setup.check_batch(config, ranks.world_size)
            self.engine = make_engine(parallel, ranks, config)
        self.device, precision = self.engine.device, self.engine.precision
        apply_tf32(precision, self.device)
        self.corpus = corpus or ranks.in_turn(lambda: prepare(config, progress=self.progress, say=self._say))
        ranks.check_same("data", setup.about_data(self.corpus))

        torch.manual_seed(config.seed)
        self.model = TransformerLM(config.model)
        self._loss = self.engine.setup(setup.LossModule(self.model, config.loss_chunk))
        self._compiled = setup.wants_compile(config, self.device)
        self._fast_loss = torch.compile(self._loss, mode=config.compile_mode) if self._compiled else self._loss
        self.optimizer = setup.make_optimizer(config, self.model)
        is_resident = setup.wants_resident(config, self.device, flat_ids(self.corpus.train).nbytes)
        self._sampler = EpochSampler(
            resident(self.corpus.train, self.device) if is_resident else self.corpus.train,
            config.batch_size // config.accumulation // self.engine.world_size,
            config.model.context_length,
            seed=config.seed,
            rank=self.engine.rank,
            world_size=self.engine.world_size,
        )
        peak, stated_peak = find_peak(self.device, precision, config.peak_flops)
        self._watch = Throughput(config.model, config.tokens // config.steps, peak and peak * ranks.world_size)

        self.step, self._best = 0, math.inf
        self._window, self._window_steps = torch.zeros((), device=self.device), 0
        self._norm = torch.zeros(())
        self._mirrors: list[Mirror] = []
        chosen = {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "precision": precision.reason,
            "tf32": precision.tf32,
            "compile": config.compile_mode if self._compiled else False,
            "resident": is_resident,
            "mfu_peak": stated_peak,
            "evaluation": f"{config.eval_windows} windows" if config.eval_windows else "the whole validation set",
            "data": self.corpus.facts,
            **setup.about_ranks(parallel, ranks.world_size),
        }
        with ranks.together():
            if _record is None and ranks.rank == 0:
                _record = RunRecord.create(folder, config, {**setup.facts(self.device), **chosen})
                if self.corpus.tokenizer is not None:
                    self.corpus.tokenizer.save(folder / "tokenizer")
        with ranks.together():  # a rank that does not see what rank 0 made could not write its checkpoints
            self.record = _record or Onlooker(folder)
        kept = self.record.folder / "checkpoints", config.keep_checkpoints
        self.checkpoints = self.engine.checkpoints(*kept, self.model, self.optimizer)

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        corpus: PreparedCorpus | None = None,
        *,
        write_sample: Writer | None = None,
        progress: bool = True,
        parallel: Parallel | None = None,
        ranks: Ranks | None = None,
    ) -> Trainer:
        """Return a trainer that stands where the last good checkpoint of a run was written.

        Lines of metrics and samples after that point are cut off; the run will write them again, the same ones.

        Args:
            folder: of the run.
            corpus: as for `Trainer`.
            write_sample: as for `Trainer`.
            progress: as for `Trainer`.
            parallel: as for `Trainer`; it and the number of processes may differ from before.
            ranks: as for `Trainer`.

        Raises:
            FileNotFoundError: the folder is no run.
            ValueError: the checkpoint is of another model.
            RuntimeError: another process is running it.
        """
        ranks = ranks or Ranks()
        with ranks.together():
            record = (Onlooker if ranks.rank else RunRecord)(folder)
            config = record.config
        with ExitStack() as held:
            with ranks.together():
                held.enter_context(record.locked())
            shared: Any = {"write_sample": write_sample, "progress": progress, "parallel": parallel, "ranks": ranks}
            trainer = cls(config, folder, corpus, **shared, _record=record)
            try:
                snapshot = trainer.checkpoints.load("last")
            except FileNotFoundError:
                trainer._say(f"{folder} has no checkpoint yet; it begins anew")
            else:
                with ranks.together():
                    trainer._load(snapshot)
            record.rewind(trainer.step)
            record.note_resume({"step": trainer.step, **setup.facts(trainer.device)})
        return trainer

    def fit(self) -> RunRecord:
        """Train to the end, or until something stops it.

        Returns:
            The record, with status "finished" or "diverged".

        Raises:
            Interrupted: Ctrl-C or a request to terminate; a checkpoint was written, and the message says how to resume.
            OSError: the record could not be written; the last good checkpoint is there.
        """
        with self.record.locked(), Stop(once=self.engine.world_size == 1) as stop:
            self._mirrors, closers = ([], []) if self.engine.rank else open_mirrors(self.config, self.record.folder)
            self.record.set_status("running", self.step)
            try:
                self._run(stop)
            except DivergedError as error:
                self.record.set_status("diverged", self.step, str(error))
                self._say(str(error))
            except OSError as error:
                last = max(self.checkpoints.steps(), default=None)
                where = f"stopped at step {self.step}: {error}; last good checkpoint: {last}"
                with suppress(OSError):
                    self.record.set_status("interrupted", self.step, where)
                raise OSError(error.errno, where) from error
            else:
                self.record.set_status("finished", self.step, "", seconds=self._watch.seconds, **self._watch.overall())
            finally:
                for close in closers:
                    close()
        return self.record

    def evaluate(self, windows: int | None = None) -> Evaluation:
        """Return the loss on the validation set.

        Args:
            windows: how many windows, 0 for the whole set; as the config says when None.
        """
        with self.engine.precision.autocast(self.device):
            return evaluate(
                self._fast_loss,
                self.corpus.valid,
                self.config.model.context_length,
                batch_size=self._sampler.batch_size,
                windows=self.config.eval_windows if windows is None else windows,
                device=self.device,
                odd_loss_of=self._loss,
                ranks=self.engine.ranks,
            )

    def _run(self, stop: Stop) -> None:
        config = self.config
        bar = tqdm(total=config.steps, initial=self.step, desc=config.name, unit="step", disable=not self.progress)
        with bar:
            self._watch.start()
            pending = 0
            while self.step < config.steps:
                lr = self._train_step()
                pending += 1
                bar.update()
                stop.requested = self.engine.ranks.any(stop.requested)
                due = setup.due(config, self.step)
                if not any(due.values()) and not stop.requested:
                    continue
                loss = self._read_loss()
                self._watch.stop(pending)
                pending = 0
                if due["log"]:
                    bar.set_postfix(self._log(loss, lr))
                check_loss(config, self.step, loss, lr, self._norm.item())
                if due["evaluate"]:
                    self._evaluate_and_keep_best()
                if due["sample"]:
                    self._sample()
                if due["save"] or stop.requested:
                    self._save()
                stop.check(self.record, self.step)
                self._watch.start()

    def _train_step(self) -> float:
        """Do one step and return its learning rate; nothing here waits for the device."""
        config = self.config
        lr = setup.set_learning_rates(config, self.optimizer, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(config.accumulation):
            x, y = self._sampler.next(self.device)
            if self._compiled:
                torch.compiler.cudagraph_mark_step_begin()
            with self.engine.part(last=part == config.accumulation - 1):
                with self.engine.precision.autocast(self.device):
                    loss = self._fast_loss(x, y) / config.accumulation
                self.engine.backward(loss)
            self._window += loss.detach()
        self._norm = self.engine.clip(list(self.model.parameters()), self.optimizer, config.grad_clip)
        self.engine.step(self.optimizer)
        self._window_steps += 1
        self.step += 1
        return lr

    def _read_loss(self) -> float:
        """Return the mean loss since the last line of metrics; this waits for the device."""
        return self.engine.mean(self._window).item() / self._window_steps

    def _log(self, loss: float, lr: float) -> dict[str, str]:
        rates = self._watch.lap()
        line = {"train_loss": loss, "lr": lr, "grad_norm": self._norm.item(), **rates}
        self._write(line)
        self._window, self._window_steps = torch.zeros_like(self._window), 0
        shown = {"loss": f"{loss:.3f}", "lr": f"{lr:.1e}"}
        return shown | ({"tok/s": f"{rates['tokens_per_second']:,.0f}"} if rates else {})

    def _write(self, values: dict[str, Any]) -> None:
        tokens = self.step * (self.config.tokens // self.config.steps)
        line = {"step": self.step, "tokens": tokens, "seconds": round(self._watch.seconds, 3), **values}
        self.record.append(line)
        for mirror in self._mirrors:
            mirror(line)

    def _evaluate_and_keep_best(self) -> None:
        result = self.evaluate()
        values = {"valid_loss": result.loss, "valid_tokens": result.tokens, "valid_windows": result.windows}
        if self.corpus.tokenizer is not None:
            values["valid_bits_per_byte"] = result.bits_per_byte(self.corpus.valid, self.corpus.tokenizer)
        self._write(values)
        if not math.isfinite(result.loss):
            raise DivergedError(f"diverged at step {self.step}: the validation loss is {result.loss}")
        if result.loss < self._best:
            self._best = result.loss
            weights, _, _ = self.engine.save(self.model, self.optimizer)
            self.checkpoints.save_best(Snapshot(self.step, weights, extra={"valid_loss": result.loss}))

    def _sample(self) -> None:
        if self.write_sample is not None and self.corpus.tokenizer is not None:
            model = self.engine.whole_model(self.model)
            if self.engine.rank == 0 and model is not None:
                self.record.add_sample(self.step, self.write_sample(model, self.corpus.tokenizer, self.config))

    def _save(self) -> None:
        weights, optimizer, own = self.engine.save(self.model, self.optimizer)
        extra = {
            "engine": own,
            "sampler": self._sampler.state_dict(),
            "best": self._best if math.isfinite(self._best) else None,
            "seconds": self._watch.seconds,
            "window": [self.engine.mean(self._window).item(), self._window_steps],
        }
        self.checkpoints.save(Snapshot(self.step, weights, optimizer, self.engine.random_state(), extra))

    def _load(self, snapshot: Snapshot) -> None:
        extra = snapshot.extra
        self.engine.load(self.model, self.optimizer, snapshot.weights, snapshot.optimizer or {}, extra["engine"])
        self.engine.set_random_state(snapshot.rng)
        own = self._sampler.state_dict()
        if own["payload_sha256"] is None or extra["sampler"]["payload_sha256"] is None:
            extra["sampler"]["payload_sha256"] = own["payload_sha256"]  # ids on the device carry no hash
        self._sampler.load_state_dict(extra["sampler"])
        self.step = snapshot.step
        self._best = math.inf if extra["best"] is None else extra["best"]
        self._watch.seconds = extra["seconds"]
        self._window.fill_(extra["window"][0])
        self._window_steps = extra["window"][1]

    def _say(self, line: str) -> None:
        if self.progress:
            tqdm.write(line)
