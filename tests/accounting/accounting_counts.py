"""Independent counts on the real model: what torch computes, saves and keeps alive."""

import weakref
from collections import Counter
from functools import partial
from itertools import product

import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from torch.utils.weak import WeakIdKeyDictionary

from cs336_lib.model import ModelConfig, TransformerLM

TINY = ModelConfig(vocab_size=37, context_length=12, d_model=24, num_layers=2, num_heads=3, d_ff=40)

# Every ablation with every other one: 3 x 2 x 2 x 2 x 2 = 48 models.
GRID = [
    TINY.replace(norm=norm, position=position, ffn=ffn, tie_embeddings=tied, qk_norm=qk_norm)
    for norm, position, ffn, tied, qk_norm in product(
        ("pre", "post", "none"), ("rope", "none"), ("swiglu", "silu"), (False, True), (False, True)
    )
]
SIZES = [
    ModelConfig(vocab_size=5, context_length=3, d_model=2, num_layers=1, num_heads=1, d_ff=1),
    ModelConfig(vocab_size=64, context_length=16, d_model=32, num_layers=3, num_heads=1, d_ff=96),
    ModelConfig(vocab_size=11, context_length=9, d_model=16, num_layers=1, num_heads=8, d_ff=24),
]


def name(cfg):
    """Return what tells a config of the grid from TINY."""
    changes = [f"{key}={value}" for key, value in cfg.to_dict().items() if value != getattr(TINY, key)]
    return ",".join(changes) or "default"


def batch(cfg, batch_size, seq_len, device="cpu"):
    """Return inputs and targets, each (B, S)."""
    torch.manual_seed(0)
    return torch.randint(cfg.vocab_size, (2, batch_size, seq_len), device=device).unbind()


def loss(model, x, y):
    return cross_entropy(model(x).flatten(0, 1), y.flatten())


def saved_bytes(cfg, batch_size, seq_len, *, with_loss=True):
    """Return the bytes that autograd keeps after a forward pass: storages counted once, the model's own left out."""
    model = TransformerLM(cfg)
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    x, y = (t.clone() for t in batch(cfg, batch_size, seq_len))
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage  # held, so that its address is not given away again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        end = loss(model, x, y) if with_loss else model(x)
    assert end.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


class Ledger:
    """Storages that autograd keeps, each once and without the model's own: how many bytes now, and at most."""

    def __init__(self, model):
        self.own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
        self.uses, self.now, self.peak = Counter(), 0, 0

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        kept = Kept(tensor)
        if (address := storage.data_ptr()) not in self.own:
            self.now += 0 if self.uses[address] else storage.nbytes()
            self.uses[address] += 1
            self.peak = max(self.peak, self.now)
            weakref.finalize(kept, self.drop, address, storage.nbytes())
        return kept

    def drop(self, address, size):
        self.uses[address] -= 1
        self.now -= 0 if self.uses[address] else size


class Kept:
    """A tensor that autograd keeps; gone when autograd lets go of it."""

    def __init__(self, tensor):
        self.tensor = tensor


def saved_peak(cfg, *, checkpointed):
    """Return the most bytes that autograd keeps at once in a forward and backward pass of one sequence."""
    model = TransformerLM(cfg)
    if checkpointed:
        for layer in model.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=True)
    ledger = Ledger(model)
    x, y = (t.clone() for t in batch(cfg, 1, cfg.context_length))
    with torch.autograd.graph.saved_tensors_hooks(ledger.pack, lambda kept: kept.tensor):
        loss(model, x, y).backward()
    return ledger.peak


class Products(TorchDispatchMode):
    """Counts the matrix products that torch is asked for, by their shapes (m, k, n)."""

    def __init__(self):
        super().__init__()
        self.shapes = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten.mm.default, torch.ops.aten.bmm.default):
            left, right = args
            matrices = left.shape[0] if left.ndim == 3 else 1
            self.shapes[(*left.shape[-2:], right.shape[-1])] += matrices
        return func(*args, **(kwargs or {}))


class Peak(TorchDispatchMode):
    """Follows which storages are alive, and the most bytes they ever had together."""

    def __init__(self, alive_before=()):
        super().__init__()
        self.alive = WeakIdKeyDictionary()
        self.peak = 0
        self.see(alive_before)

    def see(self, tensors):
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self.alive[storage] = storage.nbytes()
        self.peak = max(self.peak, sum(self.alive.values()))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.see(leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor))
        return out


def transient_bytes(cfg, batch_size, seq_len):
    """Bound what is alive at the peak besides the activations: gradients on their way down.

    Those of the log-probabilities and of the logits are computed while all else is still kept; nobody holds the logits.
    Further down, a few tensors of the widest kind are alive at once (scores, or hidden units), and the gradient of one
    matrix before it is added to the last one's.
    """
    B, S, H = batch_size, seq_len, cfg.num_heads
    widest = max(B * H * S * S, B * S * cfg.d_ff, B * S * cfg.d_model)
    matrix = max(cfg.vocab_size, cfg.d_ff, cfg.d_model) * cfg.d_model
    return 4 * (2 * B * S * cfg.vocab_size + 4 * widest + matrix)
