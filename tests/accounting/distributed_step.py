"""One training step of the real model on one of two gloo ranks, with every collective's payload written down."""

import os
from contextlib import nullcontext
from datetime import timedelta
from inspect import signature

import torch
import torch.distributed as dist
from accounting_counts import TINY, batch, loss
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cs336_lib.model import TransformerLM

# No size of ODD is a multiple of two: shards of unequal size, padded.
ODD = TINY.replace(vocab_size=37, d_ff=41, num_layers=3)
MODELS = {"tiny": TINY, "odd": ODD, "tied": TINY.replace(tie_embeddings=True, qk_norm=True, ffn="silu", norm="post")}
# operation -> its name here, and which argument is the full tensor
COLLECTIVES = {
    "allreduce_": ("all_reduce", 0),
    "_allgather_base_": ("all_gather", 0),
    "_reduce_scatter_base_": ("reduce_scatter", 1),
}


class Payloads(TorchDispatchMode):
    """Adds up the bytes of full tensors, by collective; one that it does not know fails."""

    def __init__(self):
        super().__init__()
        self.bytes = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace in ("c10d", "_c10d_functional"):
            name, position = COLLECTIVES[func.overloadpacket.__name__]
            tensors = [leaf for leaf in tree_leaves(args[position]) if isinstance(leaf, torch.Tensor)]
            self.bytes[name] = self.bytes.get(name, 0) + sum(t.numel() * t.element_size() for t in tensors)
        return func(*args, **(kwargs or {}))


def wrapped(strategy, cfg):
    model = TransformerLM(cfg)
    if strategy == "ddp":
        known = signature(DistributedDataParallel).parameters  # torch 2.13 renamed the option
        option = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        return DistributedDataParallel(model, bucket_cap_mb=0.01, **{option: False})
    for layer in model.layers:
        fully_shard(layer, reshard_after_forward=strategy == "fsdp")
    return fully_shard(model)


def parts(strategy, model, count):
    """Yield for each part of the batch the context in which it runs: gradients meet in the last one only."""
    for part in range(count):
        last = part == count - 1
        if strategy == "ddp":
            yield nullcontext() if last else model.no_sync()
        else:
            model.set_requires_gradient_sync(last)
            yield nullcontext()


def held(tensors):
    """Return the bytes that these tensors take on this rank."""
    local = [t.to_local() if isinstance(t, DTensor) else t for t in tensors]
    return sum(t.numel() * t.element_size() for t in local)


def whole_gradients(strategy, model):
    """Return the bytes of whole gradients that this rank holds between two parts of a batch."""
    groups = [] if strategy == "ddp" else [model, *model.layers]
    for group in groups:
        group.unshard()  # the parameters are whole now, and so are gradients that were not reduced
    size = held(p.grad for p in model.parameters() if p.grad is not None)
    for group in groups:
        group.reshard()
    return size


def step(strategy, cfg, accumulation):
    torch.manual_seed(0)
    model = wrapped(strategy, cfg)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    x, y = batch(cfg, 2, cfg.context_length)
    reduced = []

    def hook(state, bucket):
        reduced.append(held([bucket.buffer()]))
        return dist.all_reduce(bucket.buffer(), async_op=True).get_future().then(lambda done: done.value()[0])

    if strategy == "ddp":
        model.register_comm_hook(None, hook)
    payloads, waiting = Payloads(), 0
    for context in parts(strategy, model, accumulation):
        waiting = whole_gradients(strategy, model)
        with payloads, context:
            loss(model, x, y).backward()
    optimizer.step()
    moments = [leaf for leaf in tree_leaves(optimizer.state_dict()["state"]) if getattr(leaf, "ndim", 0)]
    return {
        "payload": payloads.bytes,
        "buckets": reduced,
        "waiting": waiting,
        "parameters": held(model.parameters()),
        "gradients": held(p.grad for p in model.parameters()),
        "optimizer": held(moments),
    }


left = []
"""Groups that this process has left: DDP must not be the last to let go of one, see `cs336_lib.training.ranks`."""


def steps(rendezvous):
    """Do all of them in this rank; the ranks meet at a file."""
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    try:
        return {
            f"{strategy} {name} {accumulation}": step(strategy, cfg, accumulation)
            for strategy in ("ddp", "fsdp", "fsdp-kept")
            for name, cfg in MODELS.items()
            for accumulation in (1, 3)
        }
    finally:
        left.append(dist.group.WORLD)
        dist.destroy_process_group()
