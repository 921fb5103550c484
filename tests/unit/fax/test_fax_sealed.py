"""The PDF of a fax is sealed where recordings are, by a helper that knows the key of this file."""

from __future__ import annotations

from pathlib import Path

from outdial.fax.helper import _write
from outdial.fax.receiver import FaxOrder, _order_json
from outdial.stored_file import SealingKeys, read_whole

KEYS = SealingKeys([b"k" * 32])
PDF = b"%PDF-1.4" + bytes(10_000)


def test_the_pdf_is_sealed_and_nothing_else_is_left(tmp_path: Path) -> None:
    path, memory, seal = tmp_path / "FX1.pdf", tmp_path / "memory", KEYS.new()
    order = FaxOrder("127.0.0.1", 9, 0, "1", path, 60.0, memory, seal)
    told = _order_json(order)
    assert told["draft"] == str(memory / "FX1.tif")
    assert seal is not None and seal.key.hex() not in repr(order)
    _write(path, PDF, told["seal"])
    assert b"PDF" not in path.read_bytes()
    assert read_whole(path, KEYS) == PDF
    assert [one.name for one in tmp_path.iterdir()] == ["FX1.pdf"]


def test_without_keys_it_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "FX1.pdf"
    told = _order_json(FaxOrder("127.0.0.1", 9, 0, "1", path, 60.0, tmp_path))
    assert (told["draft"], told["seal"]) == (str(tmp_path / "FX1.tif"), None)
    _write(path, PDF, told["seal"])
    assert path.read_bytes() == PDF
