"""Parameters and gradients that the optimizers under test share."""

import torch


def make_params(dtype=torch.float64):
    """Parameters of all ranks from 0 to 3, the same ones at each call."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(), (1,), (7,), (5, 3), (3, 5), (2, 3, 4)]
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)) for shape in shapes
    ]


def set_grads(step, *lists, skip=lambda step, index: False):
    """Give parameters of equal index the same gradient; it changes size and sign with the step."""
    generator = torch.Generator().manual_seed(step)
    for index, same in enumerate(zip(*lists, strict=True)):
        grad = torch.randn(same[0].shape, generator=generator, dtype=torch.float64) * 10.0 ** ((step + index) % 5 - 3)
        for p in same:
            p.grad = None if skip(step, index) else grad.to(p.dtype, copy=True)
