"""Optimizers, learning-rate schedules and gradient clipping, from scratch (chapter 6).

>>> import torch
>>> from cs336_lib.optim import AdamW, clip_grad_norm, cosine_schedule
>>> weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
>>> optimizer = AdamW([weight], lr=0.1)
>>> for step in range(200):
...     optimizer.param_groups[0]["lr"] = cosine_schedule(step, 0.1, 0.0, 10, 200)
...     optimizer.zero_grad()
...     (weight**2).sum().backward()
...     norm = clip_grad_norm([weight], max_norm=1.0)
...     _ = optimizer.step()
>>> bool(weight.abs().max() < 0.01)
True
"""

from cs336_lib.optim.adamw import AdamW
from cs336_lib.optim.clipping import clip_grad_norm
from cs336_lib.optim.muon import Muon
from cs336_lib.optim.schedules import cosine_schedule, wsd_schedule
from cs336_lib.optim.sgd import SGD

__all__ = ["SGD", "AdamW", "Muon", "cosine_schedule", "wsd_schedule", "clip_grad_norm"]
