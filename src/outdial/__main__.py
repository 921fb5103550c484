"""``python -m outdial`` is the command `outdial`."""

from outdial.cli import main

main()
