"""Whether the device computes what it has to: doctor, golden values, parity cases, whole runs, compute-sanitizer."""

import json
import struct
import time

from .machine import find_sanitizer
from .stage import failed, last_line, skipped


SMALL = """
name = "small"
[data]
source = "idx"
path = "."
validation = 0.0
augment = { crop_padding = 1, flip = true }
[classroom]
student = "resnet8"
teachers = ["resnet8"]
[pretrain]
epochs = 1
batch_size = 16
schedule = { name = "constant" }
[[methods]]
name = "cross_entropy"
[[methods]]
name = "classroomkd"
[train]
epochs = 1
batch_size = 16
seeds = [1]
schedule = { name = "constant" }
"""


def correct(stage):
    out = stage.arguments.out

    def doctor(filter_, *more):
        def work(limit):
            status, document = stage.document(limit, "doctor", *filter_, *more)
            parts = [*document.get("kernels", []), *document.get("golden", [])]
            bad = [part["name"] for part in parts if not part["passed"]]
            bad += [f"{name} (no case)" for name in document.get("uncovered", [])]
            found = {"kernels": len(document.get("kernels", [])), "golden": len(document.get("golden", []))}
            if bad or status != 0 or not parts:
                named = ", ".join(bad[:20]) + (" ..." if len(bad) > 20 else "")
                raise failed(f"{len(bad)} of {len(parts)} did not pass (exit status {status}): {named}")
            return found

        return work

    stage.do("golden values", doctor(["golden_"], "--write-golden", out / "golden.json"), 120)
    stage.do("doctor", doctor(["add_"] if stage.small else []), 300)
    for case in stage.arguments.cases:
        stage.do(f"parity {case.stem}", lambda limit, case=case: parity(stage, case, limit), 180)
    stage.do("two runs", lambda limit: two_runs(stage, limit), 300)
    for tool in ("memcheck", "racecheck"):
        stage.do(f"compute-sanitizer {tool}", lambda limit, tool=tool: sanitizer(stage, tool, limit))


def parity(stage, case, limit):
    status, document = stage.document(limit, "parity", case)
    result = document["cases"][0]
    if "error" in result:
        raise failed(result["error"])
    if not result["judged"]:
        raise skipped("not judged here: the case is decided in float64 only")
    shares = [tensor["max_abs"] / tensor["tolerance"] for tensor in result["tensors"] if tensor["tolerance"]]
    if not result["passed"] or status != 0:
        bad = [tensor["name"] for tensor in result["tensors"] if not tensor["passed"]]
        raise failed(f"{len(bad)} of {len(result['tensors'])} tensors: {', '.join(bad[:5])}")
    return {"tensors": len(result["tensors"]), "worst_share_of_tolerance": max(shares, default=0.0)}


def small_classroom(folder):
    """Four classes of 8x8 grey images as IDX files, and a config for a few steps on them."""
    for stem, count in [("train", 32), ("t10k", 8)]:
        labels = bytes(index % 4 for index in range(count))
        pixels = bytes(
            (37 * index + 101 * pixel + pixel * pixel) % 180 + 18 * (index % 4)
            for index in range(count)
            for pixel in range(64)
        )
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 8, 8) + pixels)
    config = folder / "small.toml"
    config.write_text(SMALL)
    return config


def lasting(folder):
    """A run's files except what is marked time: timing.jsonl and the footer of the page."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "timing.jsonl":
            content = path.read_bytes()
            if path.name == "report.html":
                content = b"\n".join(line for line in content.split(b"\n") if not line.startswith(b"<footer>"))
            files[str(path.relative_to(folder))] = content
    return files


def two_runs(stage, limit):
    end = time.monotonic() + limit
    config = [small_classroom(stage.work)] if stage.small else []
    left, seconds = [], []
    for name in ("first", "second"):
        start = time.monotonic()
        status, _, error = stage.engine(end - time.monotonic(), "run", *config, "--out", stage.work / name, "--quiet")
        if status != 0:
            raise failed(f"the {name} run: {last_line(error)} (exit status {status})")
        seconds.append(round(time.monotonic() - start, 1))
        left.append(lasting(stage.work / name))
    if left[0].keys() != left[1].keys():
        raise failed(f"other files: {', '.join(sorted(left[0].keys() ^ left[1].keys()))}")
    differ = [name for name in left[0] if left[0][name] != left[1][name]]
    if differ:
        raise failed(f"other bytes: {', '.join(differ)}")
    return {"files": len(left[0]), "seconds_of_runs": seconds, "summary": json.loads(left[0]["summary.json"])}


def sanitizer(stage, tool, limit):
    if stage.small:
        raise skipped("compute-sanitizer checks GPUs; the simulator checks accesses and races by itself")
    program = find_sanitizer()
    if program is None:
        raise skipped("there is no compute-sanitizer on this machine")
    command = lambda *filter_: [
        program, "--tool", tool, "--error-exitcode", "99",
        stage.arguments.binary, "doctor", *filter_, "--device", stage.arguments.device,
    ]  # fmt: skip
    # One kernel first: where the machine's runtime does not allow the tool, it says so here.
    end = time.monotonic() + limit
    status, text, error = stage.run(command("golden_to_bf16"), min(90.0, limit))
    said = (text + error).splitlines()
    refused = [line for line in said if "not supported" in line or "nable to" in line]
    if status != 0 and (refused or not any("SUMMARY" in line for line in said)):
        raise skipped(f"it does not run here: {refused[0].strip('= ') if refused else last_line(text + error)}")
    status, text, error = stage.run(command(), end - time.monotonic())
    found = [line.strip("= ") for line in (text + error).splitlines() if "SUMMARY" in line]
    if status != 0 or not found:
        raise failed(f"{'; '.join(found) or last_line(error)} (exit status {status})")
    return {"found": found}
