"""Ask the claims of chapters 8 to 10 again, of runs with seeds that nobody has looked at.

python tools/claims_again.py                         ten fresh seeds: every claim of the quick scale
python tools/claims_again.py --seeds 100 101 102     three of them
python tools/claims_again.py --section 9.1           the claims of a section alone

What is trained already is not trained again: after Ctrl-C the same command goes on. The exit code is 1 if a claim no
longer holds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cs336_lib.experiments import SUITES, Scale, Suite, run_suite, sides
from cs336_lib.experiments.claims import CLAIMS, Claim
from cs336_lib.experiments.comparison import Side


def with_seeds(claims: Sequence[Claim], suite: Suite, seeds: Sequence[int]) -> Suite:
    """Return a suite cut down to the runs that claims rest on, with other seeds."""
    wanted = {name for claim in claims if claim.suite == suite.name for name in claim.rests_on}
    size = suite.scales["quick"]
    kept = tuple(replace(v, seeds=tuple(seeds)) for v in size.variations if v.name in wanted)
    return replace(suite, scales={"quick": Scale(size.base, tuple(seeds), kept)})


def found_for(claim: Claim, suite: Suite, folder: Path) -> dict[str, Side]:
    """Return the sides that a claim rests on, with only the runs that it names."""
    from cs336_lib.experiments import load_suite

    return sides([pair for pair in load_suite(suite, "quick", folder) if pair[0].variation in claim.rests_on])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    models = len({(claim.suite, name) for claim in CLAIMS for name in claim.rests_on})
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"All claims rest on {models} models and rates, each trained once for each seed, which takes seconds.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(100, 110)), help="default: 100 to 109")
    parser.add_argument("--section", help='only the claims of this section, such as "9.1"')
    parser.add_argument("--folder", type=Path, default=Path("runs/claims"), help="where the runs go (runs/claims)")
    asked = parser.parse_args(arguments)
    claims = [claim for claim in CLAIMS if asked.section in (None, claim.section)]
    if not claims:
        sections = ", ".join(dict.fromkeys(claim.section for claim in CLAIMS))
        print(f"error: no claim of section {asked.section!r}; allowed: {sections}", file=sys.stderr)
        return 2
    suites = {claim.suite: with_seeds(claims, SUITES[claim.suite], asked.seeds) for claim in claims}
    for suite in suites.values():
        run_suite(suite, "quick", asked.folder)
    fallen = 0
    for claim in claims:
        found = found_for(claim, suites[claim.suite], asked.folder)
        holds = claim.holds(found)
        fallen += not holds
        print(f"\n{claim.section}  {'holds' if holds else 'NO LONGER HOLDS'}: {claim.says}")
        for side in found.values():
            losses = " ".join(f"{loss:.3f}" for loss in side.at_best.values())
            print(f"      {side.describe()}\n      by seed: {losses}")
    print(f"\n{len(claims) - fallen} of {len(claims)} claims hold with seeds {' '.join(map(str, asked.seeds))}")
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
