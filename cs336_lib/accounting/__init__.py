"""Parameters, FLOPs, memory and time as pure functions of a model's configuration (chapter 5)."""
