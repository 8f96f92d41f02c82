"""The small text that many tests train on."""

TEXT = "".join(f"{n} green bottles hanging on the wall, and if one should fall...\n" for n in range(100, 0, -1))
