"""Settings of the kernels that nbval starts: what is stored of an instrument is its place in the page."""

import os

os.environ.setdefault("CS336_INSTRUMENTS", "static")
