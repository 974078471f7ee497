"""What anyone may write on the chain reaches a terminal as one line, and is not obeyed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from command import anchor_without_training, terminal_at
from conftest import make_site
from sensetrail.chain.client import Chain
from sensetrail.chain.model_registry import ModelRegistry

REASON = "\x1b[31mred\x1b]0;title\x07\r\nerror: forged\u202e\u2028\x9b1m " + 2000 * "x"


def test_a_recall_s_reason_is_shown_in_one_line(fresh_devnet: Chain, tmp_path: Path) -> None:
    site = make_site(fresh_devnet)
    site.submit(*site.batch(site.measurements(3)))
    manifest, _ = anchor_without_training(site, tmp_path / "model")
    registry = ModelRegistry(Chain(site.chain.url), site.deployment.model_registry)
    registry.recall_model(site.admin, manifest.weights_digest, REASON)
    terminal = terminal_at(site, tmp_path)
    shutil.copytree(tmp_path / "model", terminal.workspace.model("model"))
    for arguments in ((), ("--json",)):
        result = terminal.run("audit", "model", "--no-retrain", *arguments)
        assert result.code == 5
        assert not set(result.out + result.err) & set("\x1b\x07\r\u202e\u2028\x9b")
    finding = json.loads(result.out)["steps"][9]
    assert finding["status"] == "failed"
    shown = r"the model is recalled: \x1b[31mred\x1b]0;title\x07\x0d\x0aerror: forged\u202e\u2028\x9b1m xxx"
    assert finding["detail"].startswith(shown)
    assert len(finding["detail"]) < 600
