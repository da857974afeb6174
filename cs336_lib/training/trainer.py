"""The training loop (chapter 6).

In short::

    model, optimizer, batches  <-  config and seed                                          __init__
    for each step:                                                                          _run
        set the learning rate; for each part of the batch: loss, backward; clip; update     _train_step
        every so often: a line of metrics, an evaluation, a checkpoint, a sample            _report

Between two reports nothing waits for the device: losses are added up there, and read when a line is due. (With float16
the scaler reads one flag per step, whether a gradient overflowed.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from cs336_lib.bars import bar as progress_bar
from cs336_lib.model import TransformerLM
from cs336_lib.training import compiling, resuming, setup, stopping
from cs336_lib.training.checkpoints.snapshot import Snapshot
from cs336_lib.training.config import TrainConfig
from cs336_lib.training.corpus import PreparedCorpus, find_data, prepare
from cs336_lib.training.engines.choice import make_engine
from cs336_lib.training.evaluation import Evaluation, evaluate
from cs336_lib.training.heading import choose_head
from cs336_lib.training.metrics import Lines, Window
from cs336_lib.training.mirrors import open_mirrors
from cs336_lib.training.precision import apply_tf32
from cs336_lib.training.ranks import Parallel, Ranks
from cs336_lib.training.records import Onlooker, RunRecord
from cs336_lib.training.stopping import DivergedError, Stop
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
        self._say: Callable[[str], object] = tqdm.write if self.progress else lambda line: None
        ranks.check_same("config", {**config.to_dict(), "parallel": parallel})
        with ranks.together():
            if _record is None:  # say so before hours of preparation
                RunRecord.check_free(folder)
            setup.check_batch(config, ranks.world_size)
            self.engine = make_engine(parallel, ranks, config)
            setup.check_fits(config, self.engine.device, ranks.world_size, parallel)
        self.device, precision = self.engine.device, self.engine.precision
        apply_tf32(precision, self.device)
        self.corpus = corpus or ranks.in_turn(lambda: prepare(config, progress=self.progress, say=self._say))
        setup.check_prompt(config, self.corpus.tokenizer if write_sample else None)
        ranks.check_same("data", setup.about_data(self.corpus))

        torch.manual_seed(config.seed)
        self.model = TransformerLM(config.model)
        self.model.half_residual = config.residual == "half"
        head_rows, _ = choose_head(config, self.device, precision)
        self._loss = self.engine.setup(setup.LossModule(self.model, config.loss_chunk, head_rows))
        self._compiled, why = compiling.choose_compile(config, self.device, ranks.world_size)
        self._fast_loss = compiling.compiled(self._loss, config) if self._compiled else self._loss
        also_update = compiling.wants_compiled_update(config, self.device, ranks.world_size, self._compiled)
        self.optimizer = setup.make_optimizer(config, self.model, compile=also_update)
        ids, is_resident = setup.placed(config, self.corpus.train, self.device)
        self._sampler = setup.make_sampler(config, ids, ranks)
        peak, stated_peak = find_peak(self.device, precision, config.peak_flops)
        self._watch = Throughput(config.model, config.tokens // config.steps, peak and peak * ranks.world_size)
        self.step, self._best, self._norm = 0, math.inf, torch.zeros(())
        self._window, self._compile_seconds = Window(self.device), 0.0

        with ranks.together():
            self._choices = setup.about_choices(config, self.engine, (self._compiled, why), is_resident, stated_peak)
            if _record is None and ranks.rank == 0:
                chosen = dict(self._choices)
                chosen |= {"compile_optimizer": also_update, "fused_update": setup.is_fused(self.optimizer)}
                about = {"parameters": setup.size_of(self.model), **chosen}
                about |= {"data": self.corpus.facts, **setup.about_ranks(parallel, ranks.world_size)}
                _record = setup.begin_record(folder, config, self.device, self.corpus.tokenizer, about)
        with ranks.together():  # a rank that does not see what rank 0 made could not write its checkpoints
            self.record = _record or Onlooker(folder)
        self._lines = Lines(config, self.record, self._watch)
        checkpoints = self.record.shown / "checkpoints"
        self.checkpoints = self.engine.checkpoints(checkpoints, config.keep_checkpoints, self.model, self.optimizer)

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
        anew: bool = False,
        changes: Mapping[str, Any] | None = None,
    ) -> Trainer:
        """Return a trainer that stands where the last good checkpoint of a run was written.

        Lines of metrics and samples after that point are cut off; the run will write them again, the same ones.

        Args:
            folder: of the run.
            corpus: as for `Trainer`, and so the rest but for `anew`.
            write_sample: writes the samples.
            progress: show a progress bar.
            parallel: "ddp" or "fsdp"; it and the number of processes may differ from before.
            ranks: the processes.
            anew: begin at step 0, whatever is there, and cut off all that was recorded.
            changes: fields of the config that are different from now on: `device`, `data` and `valid_data` (where the
                same texts lie now), `steps` (the learning rate then follows the schedule of the new length).

        Raises:
            FileNotFoundError: the folder is no run, its checkpoints are gone, or its texts.
            ValueError: the checkpoint is of another model, all checkpoints are damaged, a text is not the one that the
                run began with, or something is to be changed that can't be.
            RuntimeError: another process is running it.
        """
        ranks = ranks or Ranks()
        shared: Any = {"write_sample": write_sample, "progress": progress, "parallel": parallel, "ranks": ranks}
        with resuming.taken_up(folder, ranks) as record:
            with ranks.together():
                config = resuming.changed(record.config, changes or {})
                config = config if corpus else find_data(config, record.folder)
            with resuming.given_same_texts(record):
                trainer = cls(config, folder, corpus, **shared, _record=record)
            if not anew:
                resuming.check_same_texts(record, trainer.corpus.facts)
            snapshot = resuming.last_snapshot(record, trainer.checkpoints, trainer._say, anew=anew)
            with ranks.together():
                resuming.check_steps(config, snapshot)
                if snapshot is not None:
                    resuming.check_same_run(config, snapshot)
                    trainer._load(snapshot)
            record.rewind(trainer.step)
            compiles = {name: trainer._choices[name] for name in ("compile", "compile_reason")}
            record.note_resume({"step": trainer.step, **setup.facts(trainer.device), **compiles})
            if config != record.config:
                record.change_config(config)
        return trainer

    def fit(self) -> RunRecord:
        """Train to the end, or until something stops it.

        Returns:
            The record, with status "finished" or "diverged".

        Raises:
            Interrupted: Ctrl-C or a request to terminate; a checkpoint was written, and the message says how to resume.
            OSError: the record could not be written; the last good checkpoint is there.
            RuntimeError: the device has too little memory; the message says what would fit.
        """
        with ExitStack() as held:
            held.enter_context(self.record.locked())
            stop = held.enter_context(Stop(once=self.engine.world_size == 1))
            if self.engine.rank == 0:
                self._lines.mirrors = held.enter_context(open_mirrors(self.config, self.record.folder, self.step))
            self.record.set_status("running", self.step)
            try:
                self._run(stop)
                costs = setup.costs(self.device, self._compile_seconds)
                self.record.finish(self.step, self._watch.seconds, self._watch.overall() | costs)
            except DivergedError as error:
                self.record.set_status("diverged", self.step, str(error), thrown_out=error.thrown_out)
                self._say(str(error))
            except torch.OutOfMemoryError as error:
                memory = setup.memory_of(self.device)
                raise stopping.too_large(self.record, self.step, memory, error) from error
            except OSError as error:
                raise stopping.could_not_write(self.record, self.step, self.checkpoints.steps(), error) from error
        return self.record

    def evaluate(self, windows: int | None = None) -> Evaluation:
        """Return the loss on the validation set.

        Args:
            windows: how many windows, 0 for the whole set; as the config says when None.
        """
        with self.engine.forward():
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
        steps = self.config.steps
        if self._compiled and self.step < steps:
            self._say("compiling the model: half a minute or more before the first step")
            self._compile_seconds = compiling.compile_now(
                self._fast_loss, self.engine, self.config, self.model, self.optimizer
            )
        with progress_bar(
            total=steps, initial=self.step, desc=self.config.name, unit="step", disable=not self.progress
        ) as bar:
            self._watch.start(at=self.step)
            while self.step < steps:
                lr = self._train_step()
                bar.update()
                stop.requested = self.engine.ranks.any(stop.requested)
                due = setup.due(self.config, self.step)
                if any(due.values()) or stop.requested:
                    loss = self._window.mean(self.engine.mean)
                    self._watch.stop(at=self.step)
                    self._report({**due, "save": due["save"] or stop.requested}, loss, lr, bar)
                    stop.check(self.record, self.step)
                    self._watch.start(at=self.step)

    def _report(self, due: dict[str, bool], loss: float, lr: float, bar: Any) -> None:
        """Do what is due after a step."""
        if due["log"]:
            rates = self._watch.lap()
            self._lines.write(self.step, {"train_loss": loss, "lr": lr, "grad_norm": self._norm.item(), **rates})
            self._window.clear()
            bar.set_postfix(setup.shown(loss, lr, rates))
        stopping.check_loss(self.config, self.step, loss, lr, self._norm.item())
        if due["evaluate"]:
            self._evaluate_and_keep_best()
        try:
            if due["sample"]:
                self._sample()
        finally:  # a sample that fails costs no work
            if due["save"]:
                self._save()

    def _train_step(self) -> float:
        """Do one step and return its learning rate."""
        config = self.config
        lr = setup.set_learning_rates(config, self.optimizer, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(config.accumulation):
            x, y = self._sampler.next(self.device)
            if self._compiled:
                torch.compiler.cudagraph_mark_step_begin()
            with self.engine.part(last=part == config.accumulation - 1):
                with self.engine.forward():
                    loss = self._fast_loss(x, y) / config.accumulation
                self.engine.backward(loss)
            self._window.add(loss)
        self._norm = self.engine.clip(list(self.model.parameters()), self.optimizer, config.grad_clip)
        self.engine.step(self.optimizer)
        self._window.count_step()
        self.step += 1
        return lr

    def _evaluate_and_keep_best(self) -> None:
        result = self.evaluate()
        self._lines.write(self.step, result.as_line(self.corpus.valid, self.corpus.tokenizer))
        stopping.check_valid_loss(self.step, result.loss)
        if result.loss < self._best:
            self._best = result.loss
            weights, _, _ = self.engine.save(self.model, self.optimizer)
            stopping.check_weights(self.step, weights)
            extra = {"valid_loss": result.loss, "config": resuming.identity(self.config)}
            self.checkpoints.save_best(Snapshot(self.step, weights, extra=extra))

    def _sample(self) -> None:
        if self.write_sample is not None and self.corpus.tokenizer is not None:
            model = self.engine.whole_model(self.model)
            if self.engine.rank == 0 and model is not None:
                self.record.add_sample(self.step, self.write_sample(model, self.corpus.tokenizer, self.config))

    def _save(self) -> None:
        weights, optimizer, own = self.engine.save(self.model, self.optimizer)
        stopping.check_weights(self.step, weights)
        extra = {
            "config": resuming.identity(self.config),
            "engine": own,
            "sampler": self._sampler.state_dict(),
            "best": self._best if math.isfinite(self._best) else None,
            "seconds": self._watch.seconds,
            "window": self._window.state(self.engine.mean),
        }
        self.checkpoints.save(Snapshot(self.step, weights, optimizer, self.engine.random_state(), extra))

    def _load(self, snapshot: Snapshot) -> None:
        extra = snapshot.extra
        self.engine.load(self.model, self.optimizer, snapshot.weights, snapshot.optimizer or {}, extra["engine"])
        self.engine.set_random_state(snapshot.rng)
        self._sampler.load_state_dict(extra["sampler"])
        self.step = snapshot.step
        self._best = math.inf if extra["best"] is None else extra["best"]
        self._watch.seconds = extra["seconds"]
        self._window.restore(extra["window"])
