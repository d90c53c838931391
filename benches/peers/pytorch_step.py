"""Times whole training steps in PyTorch on the CPU, for comparison with `kd-engine bench train-step/`.

A step: a batch of uint8 images is taken by index, cropped out of a padding of 4, mirrored, normalised; forward,
cross-entropy, backward, SGD with momentum 0.9 and weight decay 5e-4. Batch assembly is done the cheap way an expert
would: the images lie padded in memory, one crop and one mirroring are drawn for the whole batch instead of for every
image (kd-engine draws for every image, so this side does less).

Prints one JSON document; per net and memory format the median time of a step.
"""

import argparse
import json
import statistics
import sys
import time

import torch
from torch.nn import functional as F

from nets import MODELS, PARAMETERS

CLASSES = 100
IMAGES = 16_384
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Batches:
    """Synthetic images [N, 3, 40, 40] as bytes, padded already, and labels [N]."""

    def __init__(self, batch, memory_format):
        generator = torch.Generator().manual_seed(1)
        self.images = torch.zeros(IMAGES, 3, 40, 40, dtype=torch.uint8).to(memory_format=memory_format)
        self.images[:, :, 4:36, 4:36] = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=generator)
        self.labels = torch.randint(0, CLASSES, (IMAGES,), generator=generator)
        self.order = torch.randperm(IMAGES, generator=generator)
        self.batch, self.memory_format, self.at = batch, memory_format, 0

    def next(self):
        if self.at + self.batch > IMAGES:
            self.at = 0
        indices = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        top, left, mirrored = (int(x) for x in torch.randint(0, 9, (3,)))
        images = self.images[indices][:, :, top : top + 32, left : left + 32]
        if mirrored % 2:
            images = images.flip(3)
        # (byte / 255 - 0.5) / 0.25
        images = images.to(torch.float32, memory_format=self.memory_format).mul_(4 / 255).sub_(2.0)
        return images, self.labels[indices]


def measure(name, memory_format, arguments):
    torch.manual_seed(0)
    net = MODELS[name](CLASSES)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    if parameters != PARAMETERS[name]:
        sys.exit(f"{name} has {parameters} parameters, expected {PARAMETERS[name]}: it is not the same net")
    net = net.to(memory_format=FORMATS[memory_format]).train()
    forward = torch.compile(net) if arguments.compile else net
    # One fused pass over all parameters, the fastest that PyTorch has.
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
    batches = Batches(arguments.batch, FORMATS[memory_format])

    def step():
        images, labels = batches.next()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(forward(images), labels).backward()
        optimizer.step()

    for _ in range(3):
        step()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    times, start = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < arguments.seconds:
        before = clock()
        step()
        times.append(clock() - before)
    return {"median_ms": 1e3 * statistics.median(times), "fastest_ms": 1e3 * min(times), "steps": len(times)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", help=f"of {', '.join(MODELS)}; otherwise all")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each net is repeated in each format")
    parser.add_argument("--formats", default="contiguous,channels_last", help="memory formats to try")
    parser.add_argument("--cpu-time", action="store_true", help="count the time on a processor; needs --threads 1")
    parser.add_argument("--compile", action="store_true", help="with torch.compile (not part of the comparison)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.nets if name not in MODELS]
    if unknown:
        parser.error(f"unknown net {unknown[0]}; there are {', '.join(MODELS)}")
    if arguments.cpu_time and arguments.threads != 1:
        parser.error("--cpu-time measures one thread; add --threads 1")
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    entries = []
    for name in arguments.nets or MODELS:
        formats = {one: measure(name, one, arguments) for one in arguments.formats.split(",")}
        best = min(formats, key=lambda one: formats[one]["median_ms"])
        images = arguments.batch / formats[best]["median_ms"] * 1e3
        entries.append({"name": name, "images_per_second": images, "format": best, "formats": formats})
    print(json.dumps({"torch": torch.__version__, "threads": arguments.threads, "entries": entries}, indent=1))


if __name__ == "__main__":
    main()
