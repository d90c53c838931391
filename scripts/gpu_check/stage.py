"""One stage: steps that run one after the other, against the clock, each written down as it ends."""

import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from .summary import summary

RESERVE = 5.0  # seconds at the end of a stage for writing and cleaning up


class End(Exception):
    """Ends a step with an outcome other than `passed`."""

    def __init__(self, outcome, reason):
        super().__init__(reason)
        self.outcome, self.reason = outcome, reason


def failed(reason):
    return End("failed", reason)


def skipped(reason):
    return End("skipped", reason)


class Stage:
    """Runs the steps of one stage one after the other, against the clock, and writes down each as it ends."""

    def __init__(self, name, arguments):
        self.name, self.arguments = name, arguments
        self.end = time.monotonic() + 60 * arguments.minutes - RESERVE
        self.small = not arguments.device.startswith("cuda")
        self.started = datetime.datetime.now(datetime.timezone.utc)
        self.steps, self.finished = [], False
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="gpu-check-"))
        log = os.devnull if arguments.list else arguments.out / f"{name}.log"
        self.log = open(log, "w", encoding="utf-8", errors="replace")

    def left(self):
        return self.end - time.monotonic()

    def do(self, name, work, limit=600.0):
        """`work(limit)` returns what is to be written down, or raises an End."""
        wanted = self.arguments.only
        if wanted and not any(part in name for part in wanted):
            return None
        if self.arguments.list:
            print(f"{self.name}: {name}")
            return None
        print(f"{self.name}: {name} ...", file=sys.stderr, flush=True)
        self.log.write(f"\n==== {name}\n")
        step, start = {"name": name, "outcome": "passed"}, time.monotonic()
        try:
            if self.left() < 1:
                raise End("unfinished", "there was no time left")
            step |= work(min(limit, self.left())) or {}
        except End as end:
            step |= {"outcome": end.outcome, "reason": end.reason}
        step["seconds"] = round(time.monotonic() - start, 1)
        self.steps.append(step)
        self.write()
        reason = f": {step['reason']}" if "reason" in step else ""
        print(f"{self.name}: {name}: {step['outcome']} in {step['seconds']} s{reason}", file=sys.stderr, flush=True)
        return step

    def run(self, command, limit, **environment):
        """A command's exit status and stdout; both its outputs go to the log. Ends the step when the time is up."""
        command = [str(part) for part in command]
        self.log.write(f"$ {' '.join(command)}\n")
        self.log.flush()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            # A session of its own, so that what it started ends with it.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.work,
                env=os.environ | environment,
                start_new_session=True,
            )
            try:
                status = process.wait(timeout=max(1.0, limit))
            except subprocess.TimeoutExpired:
                status = None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            text, error = (self.read(stream) for stream in (out, err))
        self.log.write(text + error + f"exit status {status}\n")
        self.log.flush()
        if status is None:
            raise End("unfinished", f"stopped after {limit:.0f} s")
        return status, text, error

    def read(self, stream):
        stream.seek(0)
        return stream.read().decode("utf-8", "replace")

    def engine(self, limit, *arguments):
        """kd-engine on the device that was asked for."""
        return self.run([self.arguments.binary, *arguments, "--device", self.arguments.device], limit)

    def document(self, limit, *arguments):
        """What kd-engine prints with --json, and how it ended."""
        status, text, error = self.engine(limit, *arguments, "--json")
        try:
            return status, json.loads(text)
        except ValueError:
            raise failed(last_line(error) or f"exit status {status} and no JSON") from None

    def passed(self):
        return all(step["outcome"] in ("passed", "skipped") for step in self.steps)

    def write(self):
        document = {
            "stage": self.name,
            **self.arguments.machine,
            "date": self.started.strftime("%Y-%m-%d %H:%M UTC"),
            "commit": self.arguments.commit,
            "small_work": self.small,
            "finished": self.finished,
            "passed": self.finished and self.passed(),
            "steps": self.steps,
        }
        put(self.arguments.out / f"{self.name}.json", json.dumps(document, indent=1) + "\n")
        put(self.arguments.out / "summary.md", summary(self.arguments.out))

    def close(self):
        self.finished = True
        if not self.arguments.list:
            self.write()
        self.log.close()
        shutil.rmtree(self.work, ignore_errors=True)
        return self.passed()


def put(path, text):
    """Whole or not at all."""
    aside = path.with_name(path.name + ".part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "rror" in line]
    return (errors or lines or [""])[-1]
