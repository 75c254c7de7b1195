"""The table that bench/run.py prints, and the JSON that it writes."""
import json
import statistics

RUNS = ("native", "shim", "epoll", "bare")


class Goal:
    """What issue 2 asks of a row: the shim's figure at most `limit` times that of `against`."""

    def __init__(self, against, limit, text=None):
        self.against, self.limit = against, limit
        self.text = text or f"at most {limit:g}x {against}"


class Table:
    def __init__(self):
        self.rows = []
        self.failures = []

    def section(self, title):
        print(f"\n{title}\n{'':40} {'unit':6} {'native':>11} {'shim':>11} {'bound':>11}   shim/native shim/bound  goal", flush=True)

    def failed(self, what, error):
        self.failures.append(f"{what}: {error}")
        print(f"FAILED {what}: {error}", flush=True)

    def row(self, name, unit, samples, goals=()):
        """`samples`: a list of figures for each of RUNS that was run; medians are compared."""
        samples = {run: figures for run, figures in samples.items() if figures}
        medians = {run: statistics.median(figures) for run, figures in samples.items()}
        bound = medians.get("epoll", medians.get("bare"))
        ratios = {run: medians["shim"] / medians[run] for run in medians
                  if run != "shim" and "shim" in medians and medians[run] > 0}
        verdicts = [{"goal": goal.text, "against": goal.against, "limit": goal.limit, "ratio": ratios.get(goal.against),
                     "met": ratios[goal.against] <= goal.limit if goal.against in ratios else None} for goal in goals]
        self.rows.append({"name": name, "unit": unit, "median": medians, "samples": samples, "shim_to": ratios, "goals": verdicts})
        cells = [number(medians.get("native")), number(medians.get("shim")), number(bound)]
        bound_ratio = ratios.get("epoll", ratios.get("bare"))
        words = {True: "met", False: "NOT MET", None: "not measured"}
        text = "; ".join(f"{verdict['goal']}: {words[verdict['met']]}" for verdict in verdicts)
        print(f"{name:40} {unit:6} {cells[0]:>11} {cells[1]:>11} {cells[2]:>11}   "
              f"{number(ratios.get('native')):>11} {number(bound_ratio):>10}  {text}".rstrip(), flush=True)

    def summary(self):
        verdicts = [verdict["met"] for row in self.rows for verdict in row["goals"]]
        print(f"\ngoals: {verdicts.count(True)} met, {verdicts.count(False)} not met, {verdicts.count(None)} not measured"
              f"; failed measurements: {len(self.failures)}")

    def write_json(self, path, header):
        with open(path, "w", encoding="utf-8") as out:
            json.dump({**header, "rows": self.rows, "failures": self.failures}, out, indent=1)
            out.write("\n")


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
