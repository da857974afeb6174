"""From scratch is literal: the model and the optimizers use nothing that torch.nn or torch.optim would do for them."""

import ast
from pathlib import Path

import pytest
from imports import ROOT, dotted_names, imported_modules, module_name

ALLOWED = {
    "torch.nn.Parameter",
    "torch.nn.Module",
    "torch.nn.ModuleList",
    "torch.nn.ModuleDict",
    "torch.nn.ParameterList",
    "torch.nn.ParameterDict",
    "torch.nn.Sequential",
    "torch.nn.init.trunc_normal_",
    "torch.optim.Optimizer",
}
# Naming the namespace itself is no use of a definition.
NAMESPACES = {"torch.nn", "torch.nn.init", "torch.optim"}
# The same operations under other names; the handout's list does not hold them either.
SYNONYMS = {
    f"torch.{name}"
    for name in (
        "softmax",
        "log_softmax",
        "relu",
        "gelu",
        "layer_norm",
        "rms_norm",
        "embedding",
        "cross_entropy_loss",
        "dropout",
    )
}
# The second, explicit backend: same parameters, torch's kernels, held to the first by tests.
FAST_BACKEND = {
    ROOT / "cs336_lib/model/fast.py",
    ROOT / "cs336_lib/model/fast_step.py",
    ROOT / "cs336_lib/optim/fused.py",
}

FILES = [path for room in ("model", "optim") for path in sorted((ROOT / "cs336_lib" / room).rglob("*.py"))]


def forbidden(tree: ast.AST, path: Path) -> list[str]:
    """List every use of a definition that is not allowed."""
    uses = [name for _, name in dotted_names(tree, path)] + list(imported_modules(tree, path))
    watched = [name for name in uses if name.startswith(("torch.nn.", "torch.optim.", "torch._C."))]
    bad = {name for name in watched if not any(name == good or name.startswith(good + ".") for good in ALLOWED)}
    kernels = {name for name in uses if "._fused_" in name}
    return sorted((bad | kernels | (SYNONYMS & set(uses))) - NAMESPACES)


@pytest.mark.parametrize("path", [path for path in FILES if path not in FAST_BACKEND], ids=module_name)
def test_the_file_is_from_scratch(path: Path):
    assert not forbidden(ast.parse(path.read_text()), path)


@pytest.mark.parametrize(
    "code",
    [
        "import torch.nn as nn\nnn.Linear(2, 2)",
        "from torch import nn\nclass A(nn.Linear): pass",
        "from torch.nn import functional as F\nF.silu(x)",
        "import torch.nn.functional as F",
        "import torch\ntorch.nn.functional.softmax(x)",
        "from torch.nn.functional import cross_entropy",
        "from torch.optim import AdamW",
        "import torch\ntorch._fused_adamw_(p, g, m, v, [], s)",
        "import torch\ntorch.ops.aten._fused_adamw_(p, g, m, v, [], s)",
        "import torch\ntorch.softmax(x, -1)",
        "from torch.nn.init import xavier_uniform_",
    ],
)
def test_the_rule_catches(code):
    assert forbidden(ast.parse(code), ROOT / "cs336_lib/model/example.py")


@pytest.mark.parametrize(
    "code",
    [
        "from torch import nn\nclass A(nn.Module):\n    w = nn.Parameter(x)\n    l = nn.ModuleList()",
        "import torch\nnn = torch.nn.Module\ntorch.nn.init.trunc_normal_(w)",
        "from torch.optim import Optimizer\nimport torch\ntorch.sigmoid(x)",
    ],
)
def test_the_rule_allows(code):
    assert not forbidden(ast.parse(code), ROOT / "cs336_lib/model/example.py")
