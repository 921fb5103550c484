"""Each example is a folder of its own; its test imports the program beside it."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in Path(__file__).parent.iterdir():
    if folder.is_dir():
        sys.path.append(str(folder))
