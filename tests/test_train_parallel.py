"""Two processes under torchrun's variables train one network: the same weights in both, other crops, one writer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facerig.train import parallel  # noqa: E402
from facerig.train.loop import EncoderTrainer, Run  # noqa: E402

STEPS = 6


def learn(folder: Path) -> None:
    """What each process does; it leaves what it knows beside the run."""
    from test_train_toy import small_config, toy

    torch.set_num_threads(1)
    rank, _ = parallel.join()
    torch.manual_seed(rank)  # what came before the run differs

    def make() -> list[str]:
        found = sorted(path.name for path in folder.glob("made-*"))
        (folder / f"made-{rank}").touch()
        return found

    made = parallel.first_then_others(make)
    agreed: list[float] = []

    def reload() -> None:
        agreed.append(parallel.agreed(float(trainer.step)))

    run = Run(folder / "run", 3600.0, steps=STEPS, batch=2, frames=32, warm_steps=2, half=False, shares={"toy": 1.0},
              save_every=0.0)
    trainer = EncoderTrainer(small_config(), run, toy(10, 1), {"toy": toy(2, 2)} if rank == 0 else {}, reload)
    time.time = skewed(time.time, 100.0 * rank)  # each process has a clock of its own
    begun = {key: value.clone() for key, value in trainer.net.state_dict().items()}
    losses = trainer.train()
    moved = sum(float((value - begun[key]).abs().sum()) for key, value in trainer.net.state_dict().items())
    np.savez(folder / f"weights-{rank}", **{key: value.numpy() for key, value in trainer.net.state_dict().items()})
    trainer.step = 60 * 60 * 60 // (run.batch * run.frames)  # in which each process hears an hour
    trainer._log({"set": "an hour each"})
    told = {"losses": losses, "moved": moved, "made": made, "agreed": agreed}
    (folder / f"told-{rank}.json").write_text(json.dumps(told))


def skewed(clock: Callable[[], float], seconds: float) -> Callable[[], float]:
    return lambda: clock() + seconds


def test_two_processes_keep_one_network(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    own = [subprocess.Popen([sys.executable, __file__, str(tmp_path)], env={**common, "RANK": str(rank)},
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for rank in (0, 1)]
    for process in own:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    first, second = (np.load(tmp_path / f"weights-{rank}.npz") for rank in (0, 1))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    told = [json.loads((tmp_path / f"told-{rank}.json").read_text()) for rank in (0, 1)]
    assert told[0]["moved"] > 0
    assert told[0]["losses"] != told[1]["losses"]  # each heard other crops
    assert told[0]["agreed"] == told[1]["agreed"] != []  # what is decided together is decided at the same steps
    assert [one["made"] for one in told] == [[], ["made-0"]]
    assert len(list((tmp_path / "run").glob("encoder.*"))) == 2
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row for row in log if row.get("set") == "toy"]
    assert [row["hours_heard"] for row in log if row.get("set") == "an hour each"] == [2.0]


if __name__ == "__main__":
    learn(Path(sys.argv[1]))
