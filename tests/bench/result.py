"""How results are printed and kept."""

import json

from harness.paths import TARGET

FOLDER = TARGET / "bench"
# From here on a ratio is told as a multiple.
MANIFOLD = 10


class Results:
    """The results so far; each is printed as it comes. `save()` keeps them in a file of this name."""

    def __init__(self, file="results.json"):
        self._file = FOLDER / file
        self._all = []
        print(f"{'stage':<44}{'project':>14}  {'beside it':<38}{'ratio':>7}", flush=True)

    def rate(self, stage, project, reference, name, unit="/s"):
        """A rate of ours beside a reference rate, both per second."""
        self._all.append({"stage": stage, "project": project, "reference": reference, "beside": name})
        beside = f"{name} {reference:,.0f}{unit}"
        ratio = project / reference
        times = f"{ratio:>6.0%}" if ratio < MANIFOLD else f"{ratio:>5,.0f} x"
        print(f"{stage:<44}{project:>12,.0f}{unit}  {beside:<38}{times}", flush=True)

    def spread(self, stage, project, reference, name):
        """How long each of many took, in seconds, ours and a reference: of both the least, the median, the 95th of a hundred and the most."""
        told = {}
        for whose, seconds in (("project", sorted(project)), ("reference", sorted(reference))):
            told[whose] = [seconds[min(len(seconds) * share // 100, len(seconds) - 1)] * 1e3 for share in (0, 50, 95, 100)]
        self._all.append({"stage": stage, "milliseconds": told, "beside": name})
        ours, beside = (" / ".join(f"{value:.0f}" for value in values) for values in told.values())
        print(f"{stage}\n{'':<44}{ours:>14} ms  {name} {beside} ms (least / median / 95 % / most)", flush=True)

    def memory(self, process, before, peak):
        """Private memory of a process in KiB, before and at its peak."""
        self._all.append({"stage": f"memory of {process}", "before_kib": before, "peak_kib": peak})
        print(f"    memory of {process}: {before / 1024:.1f} MiB before, {peak / 1024:.1f} MiB at the peak", flush=True)

    def curve(self, stage, values):
        """How a figure of ours goes while a run goes on."""
        self._all.append({"stage": stage, "curve": values})
        print(f"{stage:<44}{' '.join(f'{value:.1f}' for value in values)}", flush=True)

    def keep(self, what, values):
        """Keeps what is not printed here."""
        self._all.append({"stage": what, **values})

    def note(self, text):
        """A remark under the last result."""
        print(f"    {text}", flush=True)

    def save(self):
        """Keeps the results as JSON under target/."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._all, indent=2) + "\n")
