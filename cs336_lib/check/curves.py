"""Loss curves of a reader's model beside ours, as a drawing in the page itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 300, 52, 36


def training(result: dict[str, Any]) -> str:
    """Draw the two loss curves and the floor, and say what they show.

    Args:
        result: what `training.trained` returned.
    """
    said = "".join(f"<p>{escape(text)}</p>" for text in result["says"])
    yours, ours = result.get("yours", []), result.get("ours", [])
    if not yours or not ours:
        return said
    return said + chart({"yours": yours, "this library": ours}, result["floor"])


def chart(lines: dict[str, Sequence[float]], floor: float) -> str:
    """An SVG of loss over steps, with the entropy of the stories as a dashed line.

    >>> chart({"a": [3.0, 2.0], "b": [3.0, 1.5]}, 1.0).startswith("<svg")
    True
    """
    top = max(max(line) for line in lines.values())
    low = min(floor, min(min(line) for line in lines.values())) * 0.95
    steps = max(len(line) for line in lines.values()) - 1

    def x(step: float) -> float:
        return LEFT + step / max(1, steps) * (WIDTH - LEFT - 12)

    def y(loss: float) -> float:
        return 12 + (top - loss) / (top - low) * (HEIGHT - BOTTOM - 12)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="loss over steps" font-size="12">']
    for tick in range(int(low) + 1, int(top) + 1):
        parts.append(f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - 12}" stroke="currentColor" opacity=".15"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="currentColor">{tick}</text>')
    for tick in sorted({0, steps // 2, steps}):
        parts.append(
            f'<text x="{x(tick):.1f}" y="{HEIGHT - 18}" text-anchor="middle" fill="currentColor">{tick}</text>'
        )
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 3}" text-anchor="middle" fill="currentColor">step</text>')
    parts.append(
        f'<path d="M{LEFT} {y(floor):.1f}H{WIDTH - 12}" stroke="currentColor" stroke-dasharray="5 4"/>'
        f'<text x="{LEFT + 6}" y="{y(floor) - 5:.1f}" fill="currentColor">entropy of the stories: {floor:.2f}</text>'
    )
    for number, (color, (name, line)) in enumerate(zip(("#d55e00", "#0072b2"), lines.items(), strict=False)):
        path = "L".join(f"{x(step):.1f} {y(loss):.1f}" for step, loss in enumerate(line))
        dashes = ' stroke-dasharray="1 5" stroke-linecap="round"' if number else ""
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2.5"{dashes}/>')
        parts.append(
            f'<text x="{WIDTH - 130}" y="{28 + 18 * number}" fill="{color}" font-weight="600">{escape(name)}</text>'
        )
    return "".join(parts) + "</svg>"
