#!/usr/bin/python3
"""What a short training says about a long one: rank correlation and spread against training length, from the runs of
`bitloop baseline`. Prints Markdown; with --write it fills the part of docs/proxy.md between the markers and draws docs/proxy.svg.

    bitloop baseline --preset tiny --workspace W
    bitloop baseline --preset quick --workspace W
    bitloop baseline quantizers/… --preset tiny --steps 1000 --workspace W --output DIR     # more lengths, for a few files
    bench/proxy.py --workspace W
"""

import argparse
import csv
import itertools
import json
import math
import pathlib
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
# Methods of the published table and the files nearest to them (results/baselines/README.md).
PUBLISHED = {"int2_uniform": "int2", "ternary_158bit": "ternary", "binary_sign": "binary"}


# Rank correlation

def ranks(values):
    """1 for the smallest; equal values share the mean of their ranks."""
    order = sorted(values)
    return [order.index(value) + (order.count(value) + 1) / 2 for value in values]


def spearman(a, b):
    """None where one side has a single value only."""
    if len(a) < 2 or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return statistics.correlation(ranks(a), ranks(b))


def kendall(a, b):
    """Tau-b: pairs in one order less pairs in opposite order, corrected for ties."""
    sign = lambda x: (x > 0) - (x < 0)
    pairs = [(sign(a[i] - a[j]), sign(b[i] - b[j])) for i, j in itertools.combinations(range(len(a)), 2)]
    untied_a, untied_b = sum(x != 0 for x, _ in pairs), sum(y != 0 for _, y in pairs)
    if not untied_a or not untied_b:
        return None
    return sum(x * y for x, y in pairs) / math.sqrt(untied_a * untied_b)


# Runs

class Run:
    """One finished run: its method, seed, length, final loss, the evaluations on the way and what it cost."""

    def __init__(self, method, seed, steps, loss, curve, wall_s):
        self.method, self.seed, self.steps, self.loss, self.curve, self.wall_s = method, seed, steps, loss, curve, wall_s


def read_curve(path):
    """{step: val_loss} of a log.tsv; the evaluations stand there as perplexity."""
    with open(path) as file:
        return {int(row["step"]): math.log(float(row["eval_ppl"])) for row in csv.DictReader(file, delimiter="\t")
                if row["eval_ppl"] not in ("", "-", None)}


def same_but_for_length(a, b):
    """Whether two jobs train the same model on the same data. A shorter run has its own warm-up and its own evaluations."""
    what = lambda job: (job["preset"]["model"], job["preset"]["data"], job["preset"]["train"]["batch"],
                        job["preset"]["train"]["learning_rate"], job["rules"]["quantize_head"], job["rules"]["paper_compat"])
    return what(a) == what(b)


def read_runs(workspaces):
    """The runs that ended ok with the model of the longest one; a repetition counts once."""
    found, jobs = {}, {}
    for workspace in map(pathlib.Path, workspaces):
        with open(workspace / "results.tsv") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        for row in rows:
            folder = workspace / "runs" / f"{row['session']}-{row['test']}"
            if row["type"] != "baseline" or row["status"] != "ok" or not (folder / "job.json").exists():
                continue
            job = json.loads((folder / "job.json").read_text())
            wall = json.loads((folder / "verdict.json").read_text())["jail"]["wall_ms"] / 1000
            steps = job["preset"]["train"]["steps"]
            run = Run(row["quantizer"], int(row["seed"]), steps, float(row["val_loss"]), read_curve(folder / "log.tsv"), wall)
            jobs[steps, row["task"]] = job
            found.setdefault((row["task"], run.method, run.seed, steps), run)
    if not found:
        return []
    longest = jobs[max(jobs)]
    return [run for (task, _, _, steps), run in found.items() if same_but_for_length(jobs[steps, task], longest)]


def losses(runs, at=None):
    """{method: {seed: loss}}, final or at a step of the curve."""
    table = {}
    for run in runs:
        loss = run.loss if at is None else run.curve.get(at)
        if loss is not None:
            table.setdefault(run.method, {})[run.seed] = loss
    return table


def means(table):
    return {method: statistics.fmean(by_seed.values()) for method, by_seed in table.items()}


def pooled_sd(table):
    """Standard deviation over seeds, common to all methods; None where no method has two seeds."""
    groups = [list(by_seed.values()) for by_seed in table.values() if len(by_seed) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return None
    return math.sqrt(sum(statistics.variance(group) * (len(group) - 1) for group in groups) / freedom)


# What a length is worth

def clear_pairs(full):
    """Pairs of methods that the full length tells apart: means further apart than 1.96 standard errors (of the pooled spread)."""
    sd, mean = pooled_sd(full), means(full)
    if sd is None:
        return []
    clear = []
    for a, b in itertools.combinations(sorted(full), 2):
        error = sd * math.sqrt(1 / len(full[a]) + 1 / len(full[b]))
        if abs(mean[a] - mean[b]) > 1.96 * error:
            clear.append((a, b) if mean[a] < mean[b] else (b, a))
    return clear


def judge(table, full):
    """How well `table` (some length) tells what `full` tells; None for what the data do not say."""
    mean, goal = means(table), means(full)
    common = sorted(set(mean) & set(goal))
    x, y = [mean[name] for name in common], [goal[name] for name in common]
    pairs = [(a, b) for a, b in clear_pairs(full) if a in mean and b in mean]
    # One seed alone, as who tests an idea once has it.
    single = []
    for seed in sorted({seed for by_seed in table.values() for seed in by_seed}):
        names = [name for name in common if seed in table[name]]
        single.append(kendall([table[name][seed] for name in names], [goal[name] for name in names]))
    single = [tau for tau in single if tau is not None]
    sd = pooled_sd({name: table[name] for name in common})
    between = statistics.stdev(x) if len(x) > 1 else None
    return {"methods": len(common), "kendall": kendall(x, y), "spearman": spearman(x, y),
            "single": statistics.fmean(single) if single else None,
            "pairs": sum(mean[a] < mean[b] for a, b in pairs) / len(pairs) if pairs else None,
            "sd": sd, "between": between, "ratio": between / sd if sd and between else None}


def cell(value, decimals):
    return "" if value is None else f"{value:.{decimals}f}"


HEAD = """| steps | wall a run | methods | Kendall | Spearman | Kendall, one seed | clear pairs right | spread of seeds | spread of methods | ratio |
|---|---|---|---|---|---|---|---|---|---|
"""


def line(steps, wall, worth):
    pairs = "" if worth["pairs"] is None else f"{100 * worth['pairs']:.0f}%"
    return (f"| {steps} | {wall} | {worth['methods']} | {cell(worth['kendall'], 3)} | {cell(worth['spearman'], 3)} | "
            f"{cell(worth['single'], 3)} | {pairs} | {cell(worth['sd'], 4)} | {cell(worth['between'], 4)} | "
            f"{cell(worth['ratio'], 1)} |\n")


def own_schedule(runs, full):
    """[(steps, seconds a run, worth)]: runs that were planned to be that short."""
    lengths = sorted({run.steps for run in runs})
    return [(steps, statistics.median(run.wall_s for run in runs if run.steps == steps),
             judge(losses([run for run in runs if run.steps == steps]), full)) for steps in lengths]


def cut_short(runs, full):
    """[(step, None, worth)]: the longest runs, looked at on the way."""
    longest = [run for run in runs if run.steps == max(run.steps for run in runs)]
    steps = sorted({step for run in longest for step in run.curve})
    return [(step, None, judge(losses(longest, at=step), full)) for step in steps]


def against_published(full):
    """Lines on the published order, and whether the gaps stand clear of the seeds."""
    with open(ROOT / "results/baselines/published.tsv") as file:
        rows = csv.DictReader((text for text in file if not text.startswith("#")), delimiter="\t")
        published = {PUBLISHED[row["model"]]: float(row["val_loss"]) for row in rows if row["model"] in PUBLISHED}
    mean, text = means(full), "| method | published val_loss | ours |\n|---|---|---|\n"
    order = ["float"] + sorted(published, key=published.get)
    for name in order:
        text += f"| `{name}` | {cell(published.get(name), 4)} | {cell(mean.get(name), 4)} |\n"
    text += "\n"
    for better, worse in itertools.pairwise(order):
        if better not in mean or worse not in mean:
            text += f"- `{better}` before `{worse}`: not measured.\n"
            continue
        gap = mean[worse] - mean[better]
        widest = max((statistics.stdev(full[name].values()) for name in (better, worse) if len(full[name]) > 1), default=None)
        spread = "spread over seeds not measured" if widest is None else \
            f"larger spread over seeds {widest:.4f}, {widest / abs(gap):.2f} of the gap" if gap else "no gap"
        text += f"- `{better}` before `{worse}`: {'yes' if gap > 0 else '**no**'}, by {gap:+.4f}; {spread}.\n"
    return text


def report(runs):
    full_steps = max(run.steps for run in runs)
    full = losses([run for run in runs if run.steps == full_steps])
    own, cut = own_schedule(runs, full), cut_short(runs, full)
    seeds = sorted({run.seed for run in runs})
    text = f"{len(runs)} runs, {len(full)} methods, seeds {', '.join(map(str, seeds))}; the full length is {full_steps} steps.\n\n"
    text += "**Runs planned to be short**, with a schedule of their own:\n\n" + HEAD
    text += "".join(line(steps, f"{wall:.0f} s", worth) for steps, wall, worth in own)
    text += "\n**Full runs, looked at on the way:**\n\n" + HEAD
    text += "".join(line(steps, "", worth) for steps, _, worth in cut)
    text += "\n**Against the published order:**\n\n" + against_published(full)
    return text, own, cut


def draw(own, cut, path):
    """False where gnuplot is missing."""
    if not shutil.which("gnuplot"):
        return False
    block = lambda name, rows: f"${name} << END\n" + "".join(
        f"{steps} {worth['kendall'] if worth['kendall'] is not None else 'NaN'}\n" for steps, _, worth in rows) + "END\n"
    script = ("set encoding utf8\nset terminal svg size 900,560 noenhanced font 'Helvetica,12' background rgb 'white'\n"
              "set title 'Rank correlation with the full length'\nset xlabel 'steps'\nset ylabel 'Kendall tau-b'\n"
              "set yrange [-0.2:1.05]\nset grid lc rgb '#e4e4e4'\nset key bottom right\n" + block("own", own) + block("cut", cut) +
              "plot $own using 1:2 with linespoints pt 7 lc rgb '#0b3d91' lw 2 title 'planned to be short', "
              "$cut using 1:2 with linespoints pt 6 lc rgb '#b71c1c' title 'full run, looked at on the way'\n")
    done = subprocess.run(["gnuplot", "-d"], input=script, capture_output=True, text=True, check=True)
    path.write_text(done.stdout)
    return True


def fill(document, text):
    """The document with `text` between its markers."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{text}{END}{after}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", action="append", required=True, help="of bitloop baseline; may be repeated")
    parser.add_argument("--write", action="store_true", help="fill docs/proxy.md and draw docs/proxy.svg")
    arguments = parser.parse_args()
    runs = read_runs(arguments.workspace)
    if not runs:
        sys.exit("bench/proxy.py: no run of type baseline ended ok in these workspaces; run bitloop baseline first")
    text, own, cut = report(runs)
    print(text, end="")
    if arguments.write:
        document = ROOT / "docs" / "proxy.md"
        if draw(own, cut, ROOT / "docs" / "proxy.svg"):
            text += "\n![rank correlation against steps](proxy.svg)\n"
        else:
            print("bench/proxy.py: no plot: gnuplot is missing (Debian's gnuplot-nox)", file=sys.stderr)
        document.write_text(fill(document.read_text(), text))


if __name__ == "__main__":
    main()
