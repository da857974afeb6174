"""AdamW as a torch optimizer: groups, closures, missing gradients, its state."""

from __future__ import annotations

import copy
from typing import Any

import torch

from .. import formulas as f
from ..case import Case, UnansweredError, WrongError, check
from ..errors import NO_GRAD
from ..show import difference, show
from .optimizer import BETAS, DECAY_KEPT, FORMS, KEPT, L2, why_there

OPTIONS = ("lr", "betas", "eps", "weight_decay")
OPTIONS_KEPT = "options kept on the optimizer, or under other keys than lr, betas, eps and weight_decay"
NO_CLOSURE = "step takes no closure: def step(self, closure=None) does"
NOT_ASKED = "p.grad is used without asking whether it is there"
STOPPED = "break or return where continue is meant: what comes behind a parameter without a gradient is not updated"
LAST_ONLY = "the update stands outside of the loop over groups, so that only the last group learns"
FIRST_ONLY = "only param_groups[0] is updated: the loop goes over all of self.param_groups"


def _why(
    got: torch.Tensor,
    start: torch.Tensor,
    grads: list[torch.Tensor],
    defaults: dict[str, Any],
    own: dict[str, Any],
    first: dict[str, Any],
    unmoved: str,
) -> list[str]:
    """The mistakes by which a parameter of a group with its own options ends there.

    `first` are the first group's options, `unmoved` is what leaves this group alone as it was.
    """
    causes = []
    for name in own:
        kept = defaults | {other: value for other, value in own.items() if other != name}
        ends = f.adamw_forms(start, grads, *(kept[option] for option in OPTIONS)).values()
        if any(not difference(got, end, 2e-4) for end in ends):
            causes.append(KEPT if name == "lr" else OPTIONS_KEPT)
    causes += [unmoved] if torch.equal(got, start) else []
    options = defaults | own
    for kept in (defaults["lr"], (defaults | first)["lr"]):
        decay = options["weight_decay"] * kept / options["lr"]
        ends = f.adamw_forms(start, grads, options["lr"], options["betas"], options["eps"], decay).values()
        if decay and any(not difference(got, end, 2e-4) for end in ends):
            causes.append(DECAY_KEPT)
    return causes + why_there(got, 2e-4, start, grads, *(options[option] for option in OPTIONS))


def two_groups(case: Case, one: dict[str, Any], two: dict[str, Any], given: str, decay: float = 0.0) -> None:
    """Step two groups with options of their own, and hold each against the legal forms."""
    defaults: dict[str, Any] = {"lr": 0.01, "betas": BETAS, "eps": 1e-8, "weight_decay": decay}
    grads = [torch.tensor([1.0, -0.01]), torch.tensor([0.5, 0.02]), torch.tensor([-2.0, 0.01])]
    starts = [torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 1.0])]
    right = []
    for start, options in zip(starts, (defaults | one, defaults | two), strict=True):
        right.append(
            f.adamw_forms(start, grads, options["lr"], options["betas"], options["eps"], options["weight_decay"])
        )
    case.say(given, "; ".join(show(next(iter(ends.values())).tolist()) for ends in right))
    params = [torch.nn.Parameter(start.clone()) for start in starts]
    groups = [{"params": [p], **options} for p, options in zip(params, (one, two), strict=True)]
    optimizer = case.get_adamw_cls()(groups, **defaults)
    for grad in grads:
        for p in params:
            p.grad = grad.clone()
        optimizer.step()
    fits = [any(not difference(p, end, 2e-4) for end in ends.values()) for p, ends in zip(params, right, strict=True)]
    wrong = [name for name, ok in zip(("first", "second"), fits, strict=True) if not ok]
    if wrong:
        causes = [
            _why(p.detach(), start, grads, defaults, options, one, unmoved)
            for p, start, options, unmoved, ok in zip(
                params, starts, (one, two), (LAST_ONLY, FIRST_ONLY), fits, strict=True
            )
            if not ok
        ]
        case.cause = next((why for why in causes[0] if all(why in of_group for of_group in causes)), "")
        raise WrongError(f"{'; '.join(show(p.tolist()) for p in params)} ({' and '.join(wrong)} group wrong)")


@check(
    "adamw.groups",
    "all parameter groups are updated",
    cause="the update stands outside of the loop over groups, or only param_groups[0] is updated",
    section="6.3",
    known=FORMS,
    after=("value", "step_count", "gradients", "first_step", "betas"),
)
def _(case: Case) -> None:
    two_groups(case, {}, {}, "two groups with the same options, three steps")


@check(
    "adamw.group_lr",
    "each group has its own rate",
    cause=KEPT,
    section="6.3",
    known=FORMS,
    after=("value", "gradients", "groups", "decay", "first_step", "betas"),
)
def _(case: Case) -> None:
    given = "a group with lr 0.1 and one with lr 0.001, weight_decay 0.5"
    two_groups(case, {"lr": 0.1}, {"lr": 0.001}, given, decay=0.5)


@check(
    "adamw.group_decay",
    "each group has its own weight_decay, betas and eps",
    cause=OPTIONS_KEPT,
    section="6.3",
    known=FORMS,
    after=("value", "gradients", "groups", "decay", "first_step", "betas", "eps_given"),
)
def _(case: Case) -> None:
    two_groups(case, {"weight_decay": 2.0}, {"weight_decay": 0.0}, "groups with weight_decay 2 and 0")
    two_groups(case, {"betas": (0.5, 0.6)}, {"betas": (0.9, 0.99)}, "groups with betas (0.5, 0.6) and (0.9, 0.99)")
    two_groups(case, {"eps": 1.0}, {"eps": 1e-8}, "groups with eps 1 and 1e-8")


@check(
    "adamw.no_gradient",
    "a parameter without a gradient is left alone, and those behind it are updated",
    cause="p.grad is used without asking whether it is there, or decay is applied all the same",
    section="6.3",
    known="the parameter, as it was",
    official=True,
    after=("value", "gradients"),
)
def _(case: Case) -> None:
    made = [torch.nn.Parameter(torch.ones(2)) for _ in range(4)]
    given = "four parameters, the first and the third without a gradient, weight_decay 0.1"
    case.say(given, "the first and the third are [1, 1], still; the others are not")
    optimizer = case.get_adamw_cls()(made, lr=0.1, betas=BETAS, eps=1e-8, weight_decay=0.1)
    for p in made[1::2]:
        p.grad = torch.ones(2)
    try:
        optimizer.step()
    except (TypeError, AttributeError, RuntimeError) as error:
        case.cause = NOT_ASKED if "NoneType" in str(error) else ""
        raise
    got = "; ".join(show(p.tolist()) for p in made)
    still = [p.tolist() == [1.0, 1.0] for p in made]
    case.true(still[0] and still[2], got, "decay is applied all the same")
    case.true(not still[1] and not still[3], got, STOPPED)


@check(
    "adamw.closure",
    "step(closure) computes the loss, its gradients, and returns it",
    cause="the closure is not called, called under no_grad, or its value not returned",
    section="6.3",
    known="the interface of torch.optim.Optimizer.step",
    kind="expect",
    after=("value", "gradients", "first_step", "parent"),
    errors=NO_GRAD,
)
def _(case: Case) -> None:
    p = torch.nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = case.get_adamw_cls()([p], lr=0.01, betas=BETAS, eps=1e-8, weight_decay=0.0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    case.say("step(closure), p = [2, -1], loss p^2, lr 0.01", "5 returned, and p near [1.99, -0.99]")
    try:
        loss = optimizer.step(closure)
    except TypeError as error:
        case.cause = NO_CLOSURE if "step() takes" in str(error) else None
        raise
    case.true(loss is not None and abs(float(loss) - 5) < 1e-5, f"{show(loss)} returned")
    moved = (p.detach() - torch.tensor([1.99, -0.99])).abs().max().item()
    case.true(moved < 1e-3, f"p is {show(p)}")


@check(
    "adamw.state",
    "its state can be saved, and loaded into a fresh one",
    cause="moments or step counts kept in attributes, which state_dict() does not hold",
    section="6.7",
    known="the same steps without a stop",
    after=("value", "step_count", "gradients", "parent"),
    errors=r"KeyError",
)
def _(case: Case) -> None:
    grads = [torch.tensor([1.0, -0.5]), torch.tensor([-2.0, 0.1]), torch.tensor([0.3, 0.3]), torch.tensor([1.0, 1.0])]
    cls = case.get_adamw_cls()

    def go(p: torch.nn.Parameter, optimizer: Any, some: list[torch.Tensor]) -> None:
        for grad in some:
            p.grad = grad.clone()
            optimizer.step()

    whole = torch.nn.Parameter(torch.ones(2))
    options: dict[str, Any] = {"lr": 0.05, "betas": BETAS, "eps": 1e-8, "weight_decay": 0.1}
    go(whole, cls([whole], **options), grads)
    if torch.equal(whole, torch.ones(2)):
        raise UnansweredError("its steps change nothing, with a state or without")
    case.say("two steps, state_dict() into a fresh optimizer, two steps", f"{show(whole)}, as without a stop")
    part = torch.nn.Parameter(torch.ones(2))
    before = cls([part], **options)
    go(part, before, grads[:2])
    state = copy.deepcopy(before.state_dict())
    after = cls([part], **options)
    after.load_state_dict(state)
    go(part, after, grads[2:])
    case.true(not difference(part, whole.detach(), 1e-6), part)


@check(
    "adamw.gradients",
    "gradients are left as they were",
    cause="the decay or the moments written into p.grad in place",
    section="6.3",
    known="a copy, taken before",
    kind="expect",
)
def _(case: Case) -> None:
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.tensor([1.0, -0.5])
    case.say("a step with gradients [1, -0.5]", "gradients [1, -0.5], still")
    case.get_adamw_cls()([p], lr=0.1, betas=BETAS, eps=1e-8, weight_decay=0.1).step()
    l2 = p.grad is not None and not difference(p.grad, torch.tensor([1.1, -0.4]), 1e-5)
    case.true(p.grad is not None and p.grad.tolist() == [1.0, -0.5], p.grad, L2 if l2 else None)


@check(
    "adamw.parent",
    "it is a torch.optim.Optimizer",
    cause="a class of its own, which no schedule of torch and no checkpoint can work with",
    section="6.3",
    known="issubclass",
)
def _(case: Case) -> None:
    case.say("get_adamw_cls()", "a subclass of torch.optim.Optimizer")
    cls = case.get_adamw_cls()
    case.true(isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer), show(cls))


@check(
    "adamw.defaults",
    "the default weight_decay",
    cause="the handout leaves the defaults open; torch's is 0.01",
    section="6.3",
    known="reported only",
    kind="choice",
)
def _(case: Case) -> None:
    case.say("AdamW([p]).param_groups[0]")
    p = torch.nn.Parameter(torch.ones(2))

    def defaults() -> str:
        group = case.get_adamw_cls()([p]).param_groups[0]
        return ", ".join(f"{k} {show(v)}" for k, v in group.items() if k in ("lr", "betas", "eps", "weight_decay"))

    case.report(case.attempt(defaults))
