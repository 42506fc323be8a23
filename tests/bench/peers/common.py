"""What the peer scripts share: the measured section's line for `ab`, lists, networks."""
import os
import resource
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "golden"))


def threads(n):
    """Must run before numpy or torch is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(n)


def cpu_seconds():
    """User and system seconds of this process with all its threads, and of its ended children."""
    mine, theirs = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


class Meter:
    """with Meter() as m: m.items += ...  -> prints the line `outpost-bench cpu= wall= items=`."""

    def __enter__(self):
        self.items, self.extra_cpu, self.extra_wall = 0, 0.0, 0.0
        self.cpu, self.wall = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            cpu, wall = cpu_seconds() - self.cpu, time.perf_counter() - self.wall
            print(f"outpost-bench cpu={cpu + self.extra_cpu:.6f} wall={wall + self.extra_wall:.6f} "
                  f"items={self.items}", flush=True)


def read_list(path, limit=0):
    with open(path) as f:
        names = [line.rsplit(" ", 1)[0] for line in f.read().splitlines() if line.strip()]
    return names[:limit] if limit else names


def imagenet_transform(side=224):
    """torchvision's evaluation transform; other input sizes keep its ratio of 8 to 7."""
    from torchvision import transforms as T
    return T.Compose([T.Resize(side * 8 // 7), T.CenterCrop(side), T.ToTensor(),
                      T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])


class Images:
    """A torch Dataset: file -> RGB -> torchvision's evaluation transform."""

    def __init__(self, root, names, side=224):
        self.root, self.names, self.tf = root, names, imagenet_transform(side)

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        from PIL import Image
        with Image.open(os.path.join(self.root, self.names[i])) as im:
            return self.tf(im.convert("RGB"))


def network(name, checkpoint=None):
    """A network of tests/golden/nets.py in eval mode.

    checkpoint: a file; None: weights made by hash; "none": as the library initialises them."""
    from make_net_golden import load_net
    from nets import NETS, hash_state
    if checkpoint and checkpoint != "none":
        return load_net(name, NETS[name].classes, checkpoint)
    net = NETS[name].build(NETS[name].classes).eval()
    if checkpoint == "none":
        return net
    net.load_state_dict(hash_state(net, NETS[name].g))
    return net
