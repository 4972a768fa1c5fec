"""Train `mini-ioi` from `mini`: strict interchange intervention training towards the IOI algorithm.

`python -m analyses.train_mini_ioi` writes interp/assets/mini-ioi again.
"""

import argparse, json, time
from random import Random
import torch
import interp
from interp.model.saving import save
from interp.parts import as_head
from interp.training.mini import Sentences
from interp.training.mini.algorithm import PROGRAM, Draw, Parts
from interp.training.interchange import interchange_accuracy, strict_interchange_losses
from interp.training import Batches, TrainingConfig, next_token_loss
from interp.training.train import learning_rate, make_optimizer


def heads(text):
    return tuple(map(as_head, text.split()))


PARTS = Parts(
    heads("0.0"), heads("1.0 1.1"), heads("0.2"), heads("2.3 3.1"), heads("4.0 4.1 4.2 4.3")
)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("start")
    ap.add_argument("out")
    ap.add_argument("--steps", type=int, default=1000)
    ap.add_argument("--rows", type=int, default=36)
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--tokens", type=int, default=1280)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--every", type=int, default=100)
    ap.add_argument("--cuts", default="")
    ap.add_argument("--share", type=float, default=0.5)
    ap.add_argument("--mean", type=float, default=0.7)
    ap.add_argument("--alone", type=float, default=0.6)
    a = ap.parse_args()
    torch.set_num_threads(1)
    model = interp.load(a.start)
    model.train()
    for p in model.parameters():
        p.requires_grad_(True)
    draw = Draw(model.tokenizer)
    batches = Batches(
        model.tokenizer, 128, a.tokens, a.seed, Sentences(), stream="ioi", answer_weight=20.0
    )
    config = TrainingConfig(steps=a.steps, learning_rate=a.lr, warmup=min(50, a.steps // 10))
    optimizer = make_optimizer(model, config)
    t0 = time.process_time()
    sums = {}
    cuts = [PARTS.cuts()[i] for i in map(int, a.cuts.split(","))] if a.cuts else PARTS.cuts()

    def report():
        base, source, other = draw(Random("validation"), 120)
        for cut in cuts:
            print(
                cut.variables,
                [f"{s.layer}.{s.head}.{s.kind}@{s.role}" for s in cut.sites][:3],
                "held" if cut.held else "",
                "silenced" if cut.silenced else "",
                [
                    round(
                        interchange_accuracy(model, PROGRAM, cut, base, source, other, circuit=c), 2
                    )
                    for c in (None, PARTS.circuit())
                ],
            )

    report()
    for step in range(a.steps):
        for g in optimizer.param_groups:
            g["lr"] = learning_rate(step, config)
        rng = Random(f"{a.seed}/{step}")
        losses = strict_interchange_losses(
            model,
            PROGRAM,
            cuts,
            PARTS.circuit(),
            *draw(rng, a.rows),
            rng=rng,
            mean=a.mean,
            alone=a.alone,
            share=a.share,
        )
        if step % 2 == 0: losses["language"] = next_token_loss(model, batches(step), batches.weights(step))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for k, v in losses.items():
            sums[k] = sums.get(k, 0) + v.item()
        if (step + 1) % 25 == 0:
            print(
                step + 1,
                f"{time.process_time() - t0:.0f} s",
                {k: round(v / 25, 3) for k, v in sums.items()},
                flush=True,
            )
            sums = {}
        if (step + 1) % a.every == 0 or step + 1 == a.steps:
            model.eval()
            save(model, a.out)
            report()
            model.train()


if __name__ == "__main__":
    main()
