"""How good students become: the presets cifar10-*, in both precisions, within the time that there is."""

import json
import time

from .correct import small_classroom
from .stage import failed, last_line, skipped

PRESETS = ["cifar10-resnet20", "cifar10-MobileNetV2"]
PRECISIONS = ["bf16", "f32"]
SHARE = 0.8  # of the time that is left may be planned; a forecast is one


def accuracy(stage):
    if stage.small:
        stage.do("small f32", lambda limit: train(stage, small_classroom(stage.work), "f32", limit))
        return
    for preset in PRESETS:
        for precision in PRECISIONS:
            stage.do(f"{preset} {precision}", lambda limit, p=preset, t=precision: train(stage, p, t, limit))


def train(stage, config, precision, limit):
    """A whole run, of as many epochs as fit; what its summary says."""
    end = time.monotonic() + limit
    sets = [f"train.precision={precision}", f"pretrain.precision={precision}"]
    if not stage.small:
        if stage.arguments.data is None:
            raise skipped("there is no data: --data FILE, or pack it with --data")
        sets.append(f"data.path={stage.arguments.data}")
    request = ["run", config, *(part for setting in sets for part in ("--set", setting))]
    epochs = stage.arguments.epochs or fitting(stage, request, SHARE * limit, end)
    folder = stage.work / f"accuracy-{precision}-{time.monotonic_ns()}"
    request += ["--epochs", epochs, "--out", folder, "--quiet"]
    status, _, error = stage.engine(end - time.monotonic(), *request)
    if status != 0:
        raise failed(f"{last_line(error)} (exit status {status})")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return {"epochs": epochs, "models": summary["models"]}


def fitting(stage, request, seconds, end):
    """The config's epochs, or as many as would take so long."""
    status, plan = stage.document(end - time.monotonic(), *request, "--dry-run")
    if status != 0:
        raise failed(f"the plan ended with exit status {status}")
    epochs = max(part["epochs"] for part in plan["stages"])
    left = min(seconds, end - time.monotonic())
    return max(1, min(epochs, int(epochs * left / max(plan["seconds"], 1e-9))))
