"""`sensetrail bundle` on a real chain: what it writes follows the container's rule, and a full disk leaves nothing."""

from __future__ import annotations

from pathlib import Path

import verify_bundle
from bundles.archives import Archive
from command import anchor_without_training, terminal_at
from conftest import Site
from sensetrail.core.bundle import read_bundle


def test_a_bundle_is_written_and_verified(site: Site, tmp_path: Path) -> None:
    terminal = terminal_at(site, tmp_path)
    site.submit(*site.batch(site.measurements(9)))
    anchor_without_training(site, terminal.workspace.model("it"))
    (tmp_path / "full.bundle.part").symlink_to("/dev/full")
    wrong, to_do = terminal.fails(2, "bundle", "it", "--out", "full.bundle")
    assert wrong == "full.bundle cannot be written: No space left on device"
    assert to_do == "free space there, or choose another --out"
    assert list(tmp_path.glob("full*")) == []
    made = terminal.json("bundle", "it")
    path = tmp_path / made["bundle"]
    members = read_bundle(path)
    assert path.read_bytes() == Archive.of(members).build()
    assert list(tmp_path.glob("*.part")) == []
    terminal.done("audit", path, "--block-hash", made["block_hash"], "--no-retrain")
    assert verify_bundle.main([str(path), "--block-hash", made["block_hash"]]) == 0
