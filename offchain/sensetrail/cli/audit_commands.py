"""Commands that prove a model, and what they prove it from: audit, bundle."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensetrail.cli.indexed import Believed, terms_of
from sensetrail.cli.output import err, print_json, print_table, progress_bar, say
from sensetrail.cli.session import (
    DEFAULT_FOLDER,
    DEFAULT_RPC,
    BlockHash,
    Folder,
    Json,
    Rpc,
    SecondNode,
    TrustNode,
    connect_deployment,
)
from sensetrail.core.primitives import address, hex_word
from sensetrail.errors import AuditError, InputError
from sensetrail.report.section import Table
from sensetrail.workspace import Workspace, read_model

if TYPE_CHECKING:
    from sensetrail.audit.steps import Audit, Finding, Retrain
    from sensetrail.core.dataset import Rows
    from sensetrail.core.evidence import Evidence
    from sensetrail.core.manifest import Manifest
    from sensetrail.core.model_file import ModelFile

NoRetrain = Annotated[
    bool, typer.Option("--no-retrain", help="Skip training again: that the weights come from the data is unproven.")
]


def audit(
    model: Annotated[
        str, typer.Argument(metavar="MODEL|BUNDLE", help="The model's name in this workspace, its folder, or a bundle.")
    ],
    no_retrain: NoRetrain = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Then change the evidence once for each step, and see that step fail.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="A dataset (name or folder) to hold against the rows that the chain gives.")
    ] = None,
    block_hash: BlockHash = None,
    registry: Annotated[
        str | None,
        typer.Option(help="Of a bundle: the SensorRegistry that you mean, by its address (default: any)."),
    ] = None,
    second_node: SecondNode = None,
    trust_node: TrustNode = False,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Audit a model from the chain alone, in ten numbered steps. Exit code 0 only if all hold.

    A bundle is audited without node and network, against the hash of its last block: --block-hash, from someone whom
    you trust.

    Example: sensetrail audit night-humidity
    """
    place = Workspace(workspace)
    check_rows: Callable[[Rows], None] | None = None
    is_bundle = Path(model).exists() and not Path(model).is_dir()
    if is_bundle:
        evidence, manifest, model_file, check_rows = _open_bundle(Path(model), block_hash, registry, dataset)
    else:
        manifest, model_file = read_model(place.model(model))
        check_rows = None if dataset is None else _compare_with(place.dataset(dataset))
    retrain = None if no_retrain else _load_retraining()
    second = nullcontext()
    if not is_bundle:
        chain, deployment = connect_deployment(rpc, place)
        from sensetrail.indexer.evidence import NodeEvidence

        terms = terms_of(Believed(trust_node, block_hash, second_node), deployment)
        second = closing(terms.second) if terms.second is not None else nullcontext()  # type: ignore[assignment]
        evidence = NodeEvidence(chain, deployment, terms)
    with second:
        from sensetrail.audit.steps import Audit

        audited = Audit(evidence, manifest, model_file, retrain, check_rows)
        findings, passed = _run(audited)
        trials = _try_out(audited) if self_test and passed else []
    _report(audited, findings, passed, trials, as_json)
    if not passed or not all(trial["caught"] for trial in trials):
        raise typer.Exit(5)


def bundle(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name in this workspace, or its folder.")],
    out: Annotated[Path | None, typer.Option(help="The bundle's file (default: MODEL.bundle).")] = None,
    block_hash: BlockHash = None,
    second_node: SecondNode = None,
    rpc: Rpc = DEFAULT_RPC,
    workspace: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Write one file that proves an anchored model when the chain is gone: all that an audit asks for (docs/bundle.md).

    The model is audited first, but for retraining: what does not hold is not bundled.

    Example: sensetrail bundle night-humidity --out night-humidity.bundle
    """
    from sensetrail.audit.steps import Audit, Status
    from sensetrail.indexer.bundle import write_bundle
    from sensetrail.indexer.evidence import NodeEvidence

    place = Workspace(workspace)
    folder = place.model(model)
    manifest, model_file = read_model(folder)
    path = out or Path(f"{folder.name}.bundle")
    if path.exists():
        raise InputError(f"there is a {path} already", "choose another --out: it is not overwritten")
    chain, deployment = connect_deployment(rpc, place)
    terms = terms_of(Believed(False, block_hash, second_node), deployment)
    with closing(terms.second) if terms.second is not None else nullcontext():
        evidence = NodeEvidence(chain, deployment, terms)
        audited = Audit(evidence, manifest, model_file, None)
        findings, passed = _run(audited)
        if not passed:
            failed = next(finding for finding in findings if finding.status is Status.FAILED)
            raise AuditError(f"step {failed.number}, {failed.name}: {failed.detail}", failed.to_do)
        with progress_bar(as_json) as progress:
            tasks: dict[str, Any] = {}

            def show(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = progress.add_task(name, total=total)
                progress.update(tasks[name], completed=done, total=total)

            write_bundle(path, evidence, audited.history, audited.rows, manifest, model_file, show)
    anchor = evidence.anchor()
    result = {
        "bundle": str(path),
        "bytes": path.stat().st_size,
        "block_number": anchor.number,
        "block_hash": hex_word(anchor.hash),
        "word": evidence.word,
        "weights_digest": hex_word(manifest.weights_digest),
    }
    if as_json:
        print_json(result)
        return
    say(f"{path}: {result['bytes']} bytes, up to block {anchor.number}, which stands on {evidence.word}")
    say(f"sensetrail audit {path} --block-hash {hex_word(anchor.hash)}")


def _open_bundle(
    path: Path, block_hash: str | None, registry: str | None, dataset: str | None
) -> tuple[Evidence, Manifest, ModelFile, Callable[[Rows], None]]:
    from sensetrail.audit.bundle import BundleEvidence
    from sensetrail.cli.indexed import word_of
    from sensetrail.core.bundle import read_bundle

    if block_hash is None:
        raise InputError(
            "a bundle proves nothing without the hash of its last block",
            "give it with --block-hash, from someone whom you trust",
        )
    if dataset is not None:
        raise InputError("a bundle has its own dataset", "omit --dataset")
    meant = None if registry is None else address(registry)
    evidence = BundleEvidence(read_bundle(path), word_of(block_hash), meant)
    return evidence, evidence.manifest(), evidence.model_file(), evidence.verify_rows


def _compare_with(folder: Path) -> Callable[[Rows], None]:
    from sensetrail.audit.steps import compare_rows
    from sensetrail.dataset.folder import read_dataset

    given = read_dataset(folder, verify=False).rows
    return lambda rebuilt: compare_rows(given, rebuilt)


def _load_retraining() -> Retrain:
    with err.status("loading TensorFlow"):
        from sensetrail.training import make

        return make.retrain


def _run(audited: Audit) -> tuple[list[Finding], bool]:
    from sensetrail.audit.steps import Status

    findings = []
    with err.status("auditing") as status:
        for finding in audited.run():
            findings.append(finding)
            status.update(f"auditing: step {finding.number} of 10 done")
    return findings, all(finding.status in (Status.PASSED, Status.SKIPPED) for finding in findings)


def _try_out(audited: Audit) -> list[dict[str, Any]]:
    from sensetrail.audit.self_test import self_test

    trials = []
    with err.status("trying the steps out") as status:
        for trial in self_test(audited.evidence, audited.manifest, audited.model_file, audited.retrain):
            status.update(f"trying the steps out: step {trial.number} of 10 done")
            trials.append(
                {
                    "number": trial.number,
                    "name": trial.name,
                    "change": trial.change,
                    "failed_step": trial.failed_step,
                    "caught": trial.caught,
                    "detail": trial.detail,
                }
            )
    return trials


def _report(audited: Audit, findings: list[Finding], passed: bool, trials: list[dict[str, Any]], as_json: bool) -> None:
    from sensetrail.audit.steps import COLUMNS, Status

    skipped = any(finding.status is Status.SKIPPED for finding in findings)
    if as_json:
        steps = [
            {"number": f.number, "name": f.name, "status": f.status.value, "detail": f.detail, "to_do": f.to_do}
            for f in findings
        ]
        print_json(
            {
                "passed": passed,
                "proven": audited.evidence.proven,
                "word": audited.evidence.word,
                "steps": steps,
                "self_test": trials,
            }
        )
        return
    print_table(Table(COLUMNS, [finding.row() for finding in findings]))
    unproven = "" if audited.evidence.proven else " UNPROVEN: on the node's word"
    say(f"\naudit passed{' (one step skipped)' if skipped else ''}{unproven}" if passed else "\naudit FAILED")
    if trials:
        rows = [
            (str(t["number"]), t["name"], "passed" if t["caught"] else "failed", f"{t['change']}: {t['detail']}")
            for t in trials
        ]
        say("")
        print_table(Table(("step", "name", "can fail", "what was changed, and what the audit said"), rows))
        caught = sum(trial["caught"] for trial in trials)
        say(f"\nself-test: {caught} of {len(trials)} changes caught by the step that is there for it")
