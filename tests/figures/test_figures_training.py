"""What the figures of chapter 6 draw is what they were given."""

from cs336_lib.figures import training


def test_curves_are_drawn_over_a_floor_that_is_named():
    axes = training.curves({"run": ([1, 2], [3.0, 2.0])}, "steps", "loss", floor=("entropy", 1.5), log_x=True).axes[0]
    assert [list(line.get_ydata()) for line in axes.lines] == [[3.0, 2.0], [1.5, 1.5]]
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["run", "entropy"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")


def test_a_single_curve_needs_no_legend():
    assert training.curves({"run": ([1], [1.0])}, "x", "y").legends == []


def test_moments_shows_the_root_of_the_second_moment_beside_the_first():
    above, below = training.moments([1.0, -1.0], [0.1, 0.0], [0.04, 0.09], [-1.0, -0.5]).axes
    gradient, first, root = (list(line.get_ydata()) for line in above.lines)
    assert (gradient, first) == ([1.0, -1.0], [0.1, 0.0])
    assert root == [0.2, 0.3]
    assert list(below.lines[0].get_ydata()) == [-1.0, -0.5]


def test_an_interrupted_run_shows_what_each_process_did_and_what_was_done_twice():
    parts = {"first": (0, 25), "second": (20, 60), "undisturbed": (0, 60)}
    (axes,) = training.interrupted(parts, [10, 20]).axes
    bars = [(bar.get_x(), bar.get_width(), bar.get_hatch()) for bar in axes.patches]
    assert bars == [(0, 25, None), (20, 40, None), (20, 5, "///"), (0, 60, None)]
    assert [line.get_xdata()[0] for line in axes.lines[:2]] == [10, 20]
