#!/usr/bin/env bash
# torch.optim.AdamW(fused=True) on a CPU walks over a parameter, its gradient and its moments as four rows of memory and
# does not look at their strides. Where they differ it updates each number with the gradient and the moments of another
# one, in silence. (For CUDA such tensors are refused with an error, pytorch issue 106951.) It takes no more than a model
# that is moved to channels_last after some steps: its weights are laid out anew, the moments stay.
#
# Expected: the same weights as without fused=True, to rounding, before and after the move.
# Seen: 0 apart before it; more than a learning rate apart two steps after it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/strides.py" <<'PY'
import torch

LR = 0.1


def trained(fused, turn):
    torch.manual_seed(0)
    model, images = torch.nn.Conv2d(3, 4, 3), torch.randn(2, 3, 8, 8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, fused=fused)
    for step in range(4):
        if turn and step == 2:
            model.to(memory_format=torch.channels_last)
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()
    return model.weight.detach()


def apart(turn):
    return (trained(True, turn) - trained(False, turn)).abs().max().item()


print(f"torch {torch.__version__}: fused and plain AdamW are {apart(False):.1e} apart, {apart(True):.1e} when the model")
print(f"was moved to channels_last after two of four steps (learning rate {LR})")
assert apart(False) < 1e-5
assert apart(True) > LR
PY
cd "$work"
"$work/venv/bin/python" strides.py
