"""Spill: what was put under a key comes back in one bucket, and no bucket is larger than it may be."""

from pathlib import Path

from kpistream.judge.spill import GROWTH, Spill

LIMIT_BYTES = 64 * 1024


def test_items_of_a_key_come_back_together_in_their_order(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "s", LIMIT_BYTES)
    for number in range(5_000):
        spill.put(f"key {number % 700}", number, {"n": number}, 1 << 100, b"bytes", None)

    seen: dict[str, list[int]] = {}
    for bucket in spill.buckets():
        here: dict[str, list[int]] = {}
        for key, number, *rest in bucket:
            assert rest == [{"n": number}, 1 << 100, b"bytes", None]
            here.setdefault(key, []).append(number)
        assert [item[0] for item in bucket] == [item[0] for item in bucket], "can be read again"
        assert not seen.keys() & here.keys()
        seen |= here

    assert seen == {f"key {key}": list(range(key, 5_000, 700)) for key in range(700)}
    assert list(tmp_path.iterdir()) == []


def test_bucket_fits_the_limit_however_much_was_put(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "s", LIMIT_BYTES)
    for number in range(20_000):
        spill.put(f"key {number}", "x" * 50)

    sizes = [sum(len(key) + 50 for key, _ in bucket) for bucket in spill.buckets()]

    assert sum(sizes) > 1_000_000
    assert max(sizes) * GROWTH <= LIMIT_BYTES


def test_single_key_that_is_larger_than_the_limit_stays_whole(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "s", 1024)
    for number in range(500):
        spill.put("one", number)

    assert [[item[1] for item in bucket] for bucket in spill.buckets()] == [list(range(500))]
