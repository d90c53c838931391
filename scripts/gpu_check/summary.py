"""The page over a folder of results."""

import json

STAGES = ["correct", "bench", "peers", "accuracy"]


def summary(out):
    """A page of what the folder holds."""
    lines = ["# gpu-check", ""]
    for name in STAGES:
        path = out / f"{name}.json"
        if not path.is_file():
            continue
        stage = json.loads(path.read_text(encoding="utf-8"))
        verdict = "passed" if stage["passed"] else "did not pass" if stage["finished"] else "under way, or stopped"
        lines += [f"## {name}: {verdict}", ""]
        if stage["small_work"]:
            lines += ["Small work, to try the script itself: no measurement.", ""]
        lines += [
            f"- {key}: {stage[key]}" for key in ("device", "driver", "memory", "date", "commit") if stage.get(key)
        ]
        lines += ["", "| step | outcome | seconds | figures |", "|---|---|---:|---|"]
        for step in stage["steps"]:
            lines.append(f"| {step['name']} | {step['outcome']} | {step['seconds']} | {figures(step)} |")
        lines += ["", *comparison(stage), *accuracies(stage)]
    return "\n".join(lines) + "\n"


def figures(step):
    if "reason" in step:
        return step["reason"].replace("|", "/")
    entries = step.get("entries", [])
    if len(entries) == 1 and entries[0].get("images_per_second"):
        return f"{entries[0]['images_per_second']:.0f} images/s, {entries[0]['median_ms']:.3f} ms"
    if entries:
        return f"{len(entries)} entries"
    shown = {key: value for key, value in step.items() if isinstance(value, (int, float)) and key != "seconds"}
    return ", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in shown.items())


def comparison(stage):
    """kd-engine over PyTorch: over eager, and over the best variant that ran."""
    if stage["stage"] != "peers" or stage["small_work"]:
        return []
    speeds = {}
    for step in stage["steps"]:
        if step["outcome"] == "passed":
            side = " pytorch " if " pytorch " in step["name"] else " kd-engine"
            what, _, who = step["name"].partition(side)
            speeds.setdefault(what, {})[(side.strip(), who.strip())] = step["entries"][0]["images_per_second"]
    lines = ["| what | kd-engine, images/s | over eager | best of PyTorch | over it |", "|---|---:|---:|---|---:|"]
    for what, sides in speeds.items():
        theirs = {who: speed for (side, who), speed in sides.items() if side == "pytorch"}
        for (side, who), speed in sides.items():
            if side == "kd-engine" and theirs:
                best = max(theirs, key=theirs.get)
                eager = f"{speed / theirs['eager']:.2f}" if "eager" in theirs else ""
                name = f"{what} {who}".strip()
                lines.append(
                    f"| {name} | {speed:.0f} | {eager} | {best}, {theirs[best]:.0f} | {speed / theirs[best]:.2f} |"
                )
    return lines + [""]


def accuracies(stage):
    """A row for every model of every run: test accuracy of the last epoch, mean and spread of the seeds."""
    if stage["stage"] != "accuracy":
        return []
    lines = ["| run | epochs | role | model | trained by | top-1 % | std | seeds |", "|---|---:|---|---|---|---:|---:|---|"]
    percent = lambda share: "" if share is None else f"{100 * share:.2f}"
    for step in stage["steps"]:
        for model in step.get("models", []):
            last = model["top1"]["last"]
            seeds = ", ".join(percent(value) for value in last["values"])
            lines.append(
                f"| {step['name']} | {step['epochs']} | {model['role']} | {model['model']} | {model['trained_by']} "
                f"| {percent(last['mean'])} | {percent(last['std'])} | {seeds} |"
            )
    return lines + [""]
