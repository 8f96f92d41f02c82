"""Training: the loop, the session that it advances, the optimizer's step, and the reporters that follow it."""
