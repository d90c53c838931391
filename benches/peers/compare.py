#!/usr/bin/env python3
"""kd-engine beside PyTorch on this machine, in one run: whole training steps, batch 64, float32, the same nets.

Builds kd-engine, then lets both sides measure each net in turn (A B A B, several rounds, so that drift of the machine
cancels), prints a table and writes it to benches/results/. PyTorch runs in a Python that has
`benches/peers/requirements.txt` installed (--python); this script itself needs nothing but Python's own library.

PyTorch's side gets what an expert would give it: the better of its two memory formats per net, the fused optimizer,
denormal numbers flushed, and a malloc that keeps large blocks instead of returning them to the system at every step.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NETS = ["resnet8", "resnet20", "resnet8x4", "wrn_16_2", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2"]
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
    "MALLOC_TOP_PAD_": str(1 << 28),
}


def document(command, **environment):
    """Runs a command that prints one JSON document."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed with status {done.returncode}")
    return json.loads(done.stdout)


def busy(seconds=2.0):
    """Share of the processors that others use, while this program sleeps (Linux)."""

    def ticks():
        fields = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    try:
        all_before, idle_before = ticks()
        time.sleep(seconds)
        all_after, idle_after = ticks()
    except OSError:
        return float("nan")
    return 1 - (idle_after - idle_before) / max(1, all_after - all_before)


def ours(arguments, net):
    command = [arguments.binary, "bench", f"train-step/{net}/", "--json", "--threads", str(arguments.threads)]
    command += ["--batch", str(arguments.batch), "--seconds", str(arguments.seconds)]
    return document(command + ["--cpu-time"] * arguments.cpu_time)


def theirs(arguments, net, formats):
    command = [arguments.python, "-B", str(HERE / "pytorch_step.py"), net, "--threads", str(arguments.threads)]
    command += ["--batch", str(arguments.batch), "--seconds", str(arguments.seconds), "--formats", formats]
    command += ["--cpu-time"] * arguments.cpu_time
    return document(command, OMP_NUM_THREADS=str(arguments.threads), **MALLOC)


def compare(arguments, net):
    """Rounds of both sides; the row of the table, and what both say of themselves."""
    formats, mine, other = "contiguous,channels_last", [], []
    for number in range(arguments.rounds):
        we = ours(arguments, net)
        they = theirs(arguments, net, formats)
        mine.append(we["entries"][0]["images_per_second"])
        other.append(they["entries"][0]["images_per_second"])
        # The format that was better in the first round is measured in the others.
        formats = they["entries"][0]["format"]
        print(f"{net}, round {number + 1}: {mine[-1]:.1f} and {other[-1]:.1f} images/s", file=sys.stderr)
    ratios = [a / b for a, b in zip(mine, other)]
    row = {
        "net": net,
        "ours": statistics.median(mine),
        "theirs": statistics.median(other),
        "format": formats,
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
    }
    return row, we, they


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def report(arguments, rows, we, they, load):
    mean = math.exp(statistics.fmean(math.log(row["ratio"]) for row in rows))
    commit = output("git", "rev-parse", "--short", "HEAD") or "unknown"
    commit += " with changes" if output("git", "status", "--porcelain", "--untracked-files=no") else ""
    clock = "time on a processor" if arguments.cpu_time else "time on the wall"
    lines = [
        f"# Training steps on the CPU, {datetime.date.today()}",
        "",
        f"- machine: {we['processor']}, {os.cpu_count()} cores, {we['simd']}, {platform.system()} {platform.release()}",
        f"- measured limits ({arguments.threads} threads): multiply-adds {we['peak_gflops']:.0f} GFLOP/s, "
        f"copying {we['copy_gigabytes_per_second']:.1f} GB/s",
        f"- kd-engine {commit}; PyTorch {they['torch']}",
        f"- batch {arguments.batch}, float32, {arguments.threads} threads, {clock}; "
        f"medians of {arguments.rounds} rounds, both sides in turn",
        f"- other programs used {100 * load[0]:.0f}% of the processors before and {100 * load[1]:.0f}% after",
        "",
        "| net | kd-engine, images/s | PyTorch, images/s | its better format | kd-engine / PyTorch | of the rounds |",
        "|---|---:|---:|---|---:|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['net']} | {row['ours']:.1f} | {row['theirs']:.1f} | {row['format']} | "
            f"{row['ratio']:.2f} | {row['low']:.2f} to {row['high']:.2f} |"
        )
    lines += ["", f"Geometric mean of the ratios: {mean:.2f}; lowest: {min(row['ratio'] for row in rows):.2f}.", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", help=f"of {', '.join(NETS)}; otherwise all")
    parser.add_argument("--python", default=sys.executable, help="a Python with PyTorch")
    parser.add_argument("--binary", help="a kd-engine that is built already")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each side repeats its step in each round")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="for busy machines: time on a processor, --threads 1")
    parser.add_argument("--out", type=pathlib.Path, help="otherwise benches/results/cpu-<date>.md")
    arguments = parser.parse_args()
    unknown = [net for net in arguments.nets if net not in NETS]
    if unknown:
        parser.error(f"unknown net {unknown[0]}; there are {', '.join(NETS)}")
    if arguments.cpu_time and arguments.threads != 1:
        parser.error("--cpu-time measures one thread; add --threads 1")
    if arguments.binary is None:
        subprocess.run(["cargo", "build", "--release"], cwd=ROOT, check=True)
        target = json.loads(output("cargo", "metadata", "--format-version", "1", "--no-deps"))["target_directory"]
        arguments.binary = str(pathlib.Path(target) / "release" / "kd-engine")
    else:
        arguments.binary = str(pathlib.Path(arguments.binary).resolve())
    before = busy()
    rows = []
    for net in arguments.nets or NETS:
        row, we, they = compare(arguments, net)
        rows.append(row)
    text = report(arguments, rows, we, they, (before, busy()))
    out = arguments.out or ROOT / "benches" / "results" / f"cpu-{datetime.date.today()}.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    print(text)
    print(f"written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
