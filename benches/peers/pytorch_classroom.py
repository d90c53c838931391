"""Times whole training steps of a classroom in PyTorch, for comparison with `kd-engine bench`, on a GPU or the CPU.

    pytorch_classroom.py PRESET             the student's lesson in a preset's classroom  (classroom-step/PRESET/)
    pytorch_classroom.py PRESET --pretrain  all mentors of the preset at once, from labels
    pytorch_classroom.py NET                one net from labels                           (train-step/NET/)

A step: a batch of uint8 images is taken by index out of a data set on the device, every image cropped out of a padding
of 4 and mirrored by a draw of its own, normalised; frozen mentors forward in eval mode without gradients, the student
forward, the ClassroomKD loss, backward, SGD with momentum 0.9 and weight decay 5e-4. Nothing waits for the host: ranks,
weights and temperatures stay on the device.

How it runs (--variant), each as an expert would write it:
- `eager`: as PyTorch is when it is installed: float32, its own choice of TF32, contiguous images;
- `amp`: in the precision asked for, with channels_last and the fused optimizer;
- `graphs`: as amp, and the whole step is one CUDA graph;
- `compile`: as amp, and nets and loss are compiled with mode "max-autotune", which makes CUDA graphs by itself;
- `compile-graphs`: as amp, nets and loss are compiled with mode "max-autotune-no-cudagraphs", and the whole step is one
  CUDA graph.

Prints one JSON document with the median time of a step.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
import tomllib

import torch
from torch.nn import functional as F

from nets import MODELS, PARAMETERS

PRESETS = pathlib.Path(__file__).resolve().parent.parent.parent / "presets"
CLASSES = 100
IMAGES = 16_384
VARIANTS = ["eager", "amp", "graphs", "compile", "compile-graphs"]
PRECISIONS = ["bf16", "tf32", "f32"]


def lineup(name, pretrain):
    """Student or nets that learn, mentors that do not, and the method's tau."""
    if name in MODELS:
        return [name], [], None
    path = PRESETS / f"{name}.toml"
    if not path.is_file():
        sys.exit(f"{name} is neither a preset nor one of {', '.join(MODELS)}")
    preset = tomllib.loads(path.read_text())
    classroom = preset["classroom"]
    mentors = [*classroom.get("teachers", []), *classroom.get("peers", [])]
    if preset["data"].get("source") != "cifar100":
        sys.exit(f"{name} has other images than CIFAR-100")
    unknown = [net for net in [classroom["student"], *mentors] if net not in MODELS]
    if unknown:
        sys.exit(f"{name}: {unknown[0]} is not in nets.py")
    if pretrain:
        return mentors, [], None
    method = next(method for method in preset["methods"] if method["name"] == "classroomkd")
    return [classroom["student"]], mentors, method["tau"]


def make(name):
    net = MODELS[name](CLASSES)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    if parameters != PARAMETERS[name]:
        sys.exit(f"{name} has {parameters} parameters, expected {PARAMETERS[name]}: it is not the same net")
    return net


def classroom_loss(student, mentors, target, tau):
    """student [B, C], mentors [M, B, C], target [B]. Ranks and all that follows from them are constants."""
    count, batch, classes = mentors.shape
    everyone = torch.cat([student.detach()[None], mentors]).float()
    losses = (
        F.cross_entropy(everyone.view(-1, classes), target.repeat(1 + count), reduction="none").view(-1, batch).mean(1)
    )
    ranks = torch.exp(-losses)
    weights = torch.round(ranks / ranks.sum(), decimals=2) * count
    own, others = weights[0], weights[1:]
    active = others >= own
    gaps = torch.where(active & (others > 0), 1 - own / others.clamp_min(1e-30), 0.0)
    temperatures = 1 + tau * gaps
    log_p = F.log_softmax(mentors.float() / temperatures[:, None, None], 2)
    log_q = F.log_softmax(student.float()[None] / temperatures[:, None, None], 2)
    divergences = (log_p.exp() * (log_p - log_q)).sum(2).mean(1)
    return ranks[0] * F.cross_entropy(student.float(), target) + (active * others * temperatures**2 * divergences).sum()


class Data:
    """Synthetic images [N, 40, 40, 3] as bytes, padded already, and labels [N]; the next batch's indices in one place."""

    def __init__(self, batch, device, memory_format):
        generator = torch.Generator().manual_seed(1)
        images = torch.zeros(IMAGES, 40, 40, 3, dtype=torch.uint8)
        images[:, 4:36, 4:36] = torch.randint(0, 256, (IMAGES, 32, 32, 3), dtype=torch.uint8, generator=generator)
        self.images = images.to(device)
        self.labels = torch.randint(0, CLASSES, (IMAGES,), generator=generator).to(device)
        self.order = torch.randperm(IMAGES, generator=generator).to(device)
        self.batch, self.memory_format, self.at = batch, memory_format, 0
        self.indices = torch.zeros(batch, dtype=torch.int64, device=device)
        self.side = torch.arange(32, device=device)

    def advance(self):
        if self.at + self.batch > IMAGES:
            self.at = 0
        self.indices.copy_(self.order[self.at : self.at + self.batch])
        self.at += self.batch

    def batch_of_images(self):
        n, device = self.batch, self.indices.device
        top, left = torch.randint(0, 9, (2, n, 1), device=device)
        mirrored = torch.randint(0, 2, (n, 1), device=device, dtype=torch.bool)
        columns = left + torch.where(mirrored, 31 - self.side, self.side)
        images = self.images[self.indices[:, None, None], (top + self.side)[:, :, None], columns[:, None, :]]  # NHWC
        # (byte / 255 - 0.5) / 0.25
        images = images.permute(0, 3, 1, 2).to(torch.float32).mul_(4 / 255).sub_(2.0)
        return images.contiguous(memory_format=self.memory_format), self.labels[self.indices]


class Classroom:
    """Nets, optimizer and data, and one step over them."""

    def __init__(self, arguments, device):
        learners, mentors, self.tau = lineup(arguments.classroom, arguments.pretrain)
        plain = arguments.variant == "eager"
        memory_format = torch.contiguous_format if plain else torch.channels_last
        place = lambda name: make(name).to(device, memory_format=memory_format)
        self.learners = [place(name).train() for name in learners]
        self.mentors = [place(name).eval().requires_grad_(False) for name in mentors]
        parameters = [parameter for net in self.learners for parameter in net.parameters()]
        # A small rate: noise cannot be learned, and numbers that overflow would change what is measured.
        options = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}
        self.optimizer = torch.optim.SGD(parameters, **options, **({} if plain else {"fused": True}))
        self.data = Data(arguments.batch, device, memory_format)
        half = not plain and arguments.precision == "bf16"
        self.autocast = lambda: torch.autocast(device.type, torch.bfloat16, enabled=half)
        self.learn, self.advise, self.loss = self.learners, self.mentors, classroom_loss
        if arguments.variant.startswith("compile"):
            mode = "max-autotune" if arguments.variant == "compile" else "max-autotune-no-cudagraphs"
            compiled = lambda what: torch.compile(what, mode=mode)
            self.learn, self.advise = [compiled(net) for net in self.learners], [compiled(net) for net in self.mentors]
            self.loss = compiled(classroom_loss)

    def work(self):
        images, labels = self.data.batch_of_images()
        with self.autocast():
            if self.mentors:
                with torch.no_grad():
                    advice = torch.stack([net(images) for net in self.advise])
                loss = self.loss(self.learn[0](images), advice, labels, self.tau)
            else:
                loss = sum(F.cross_entropy(net(images).float(), labels) for net in self.learn)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def step(self):
        # What compiled nets gave in the step before is not needed any more: their CUDA graphs may write over it.
        torch.compiler.cudagraph_mark_step_begin()
        self.data.advance()
        return self.work()

    def graph(self, warm_up):
        """One CUDA graph of a whole step, captured after some on a stream of its own, as its documentation asks."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(warm_up):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        self.data.advance()
        with torch.cuda.graph(graph):
            loss = self.work()

        def step():
            self.data.advance()
            graph.replay()
            return loss

        return step


def times_on_gpu(step, seconds):
    """Milliseconds between the ends of steps, by events, without waiting for any: rounds of 20 steps."""
    times, start = [], time.perf_counter()
    while len(times) < 20 or time.perf_counter() - start < seconds:
        events = [torch.cuda.Event(enable_timing=True) for _ in range(21)]
        events[0].record()
        for event in events[1:]:
            step()
            event.record()
        torch.cuda.synchronize()
        times += [before.elapsed_time(after) for before, after in zip(events, events[1:])]
    return times


def times_on_cpu(step, seconds):
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - before))
    return times


def measure(arguments):
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    if arguments.variant != "eager":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("highest" if arguments.precision == "f32" else "high")
        torch.backends.cudnn.allow_tf32 = arguments.precision != "f32"
    classroom = Classroom(arguments, device)
    graphs = arguments.variant in ("graphs", "compile-graphs")
    start = time.perf_counter()
    step = classroom.graph(arguments.warm_up) if graphs else classroom.step
    for _ in range(arguments.warm_up):
        loss = step()
    before = float(loss)
    prepared = time.perf_counter() - start
    times = (times_on_gpu if device.type == "cuda" else times_on_cpu)(step, arguments.seconds)
    after = float(step())
    if not after == after:
        sys.exit("the loss is not a number: what was measured is not training")
    median = statistics.median(times)
    return {
        "images_per_second": 1e3 * arguments.batch / median,
        "median_ms": median,
        "fastest_ms": min(times),
        "steps": len(times),
        "preparation_seconds": prepared,
        "loss": [before, after],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classroom", help=f"a preset on CIFAR-100, or one of {', '.join(MODELS)}")
    parser.add_argument("--pretrain", action="store_true", help="train the preset's mentors, all at once, from labels")
    parser.add_argument("--variant", choices=VARIANTS, default="amp")
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16", help="of every variant but eager")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--threads", type=int, help="on the CPU")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long the step is repeated")
    parser.add_argument("--warm-up", type=int, default=10, help="steps before the measurement")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    on_gpu = arguments.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU here; --device cpu measures without one")
    if not on_gpu and arguments.variant in ("graphs", "compile-graphs"):
        sys.exit(f"{arguments.variant} needs a GPU")
    entry = measure(arguments)
    document = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "classroom": arguments.classroom,
        "pretrain": arguments.pretrain,
        "variant": arguments.variant,
        "precision": "default" if arguments.variant == "eager" else arguments.precision,
        "batch": arguments.batch,
    }
    print(json.dumps(document | entry, indent=1))


if __name__ == "__main__":
    main()
