"""What this machine and this tree are."""

import json
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def output(*command):
    """What a command prints; nothing where there is no such command or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=ROOT, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def this_machine(device):
    """Device and driver, as the driver's own tool names them."""
    if not device.startswith("cuda"):
        return {"device": device, "driver": None}
    number = device.partition(":")[2] or "0"
    line = output("nvidia-smi", "-i", number, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != 3:
        return {"device": "unknown: nvidia-smi does not answer", "driver": None}
    return {"device": fields[0], "driver": fields[1], "memory": fields[2]}


def commit_of_tree():
    commit = output("git", "rev-parse", "--short", "HEAD") or "unknown"
    return commit + (" with changes" if output("git", "status", "--porcelain", "--untracked-files=no") else "")


def built_program():
    metadata = output("cargo", "metadata", "--format-version", "1", "--no-deps")
    if metadata:
        return pathlib.Path(json.loads(metadata)["target_directory"]) / "release" / "kd-engine"
    return ROOT / "target" / "release" / "kd-engine"


def find_sanitizer():
    places = [os.environ.get(name, "") + "/bin" for name in ("CUDA_HOME", "CUDA_PATH")] + ["/usr/local/cuda/bin"]
    return shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path=os.pathsep.join(places))
