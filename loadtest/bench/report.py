"""Tables and targets, as text for the terminal and as Markdown for the docs: the same figures in both."""

import textwrap
from dataclasses import dataclass, field

MET, MISSED, OPEN = "met", "NOT met", "not measured"


def of_rounds(what: str, rounds: int) -> str:
    return "one round" if rounds == 1 else f"{what} of {rounds} rounds"


@dataclass
class Table:
    """Rows under a heading. The first column is text, the others are figures."""

    title: str
    columns: list
    rows: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    # Columns that are text, too.
    words: int = 1

    def text(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        aligned = [self._align(line, widths, "   ") for line in lines]
        rule = "─" * max(len(line) for line in aligned)
        notes = [textwrap.fill(note, max(len(rule), 80)) for note in self.notes]
        return "\n".join([self.title, rule, aligned[0], rule, *aligned[1:], *notes, ""])

    def markdown(self) -> str:
        cells = [[cell.replace("|", "\\|") for cell in line] for line in [self.columns, *self.rows]]
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.columns))]
        rule = [("-" * w if i < self.words else "-" * (w - 1) + ":") for i, w in enumerate(widths)]
        lines = [
            f"| {self._align(line, widths, ' | ', keep=True)} |" for line in [cells[0], rule, *cells[1:]]
        ]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"## {self.title}\n", *lines, *notes, ""])

    def _align(self, line: list, widths: list, between: str, keep: bool = False) -> str:
        cells = [
            cell.ljust(width) if i < self.words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        joined = between.join(cells)
        return joined if keep else joined.rstrip()


@dataclass
class Target:
    """What must hold, and what was seen."""

    what: str
    limit: str
    figure: str
    verdict: str

    @staticmethod
    def of(what: str, limit: str, figure: str, met: bool) -> "Target":
        return Target(what, limit, figure, MET if met else MISSED)

    @staticmethod
    def unmeasured(what: str, limit: str, why: str) -> "Target":
        return Target(what, limit, why, OPEN)


def targets_table(targets: list) -> Table:
    rows = [[target.what, target.limit, target.figure, target.verdict] for target in targets]
    missed = sum(target.verdict == MISSED for target in targets)
    open_ = sum(target.verdict == OPEN for target in targets)
    met = len(targets) - missed - open_
    note = f"{met} of {len(targets)} targets met, {missed} missed, {open_} not measured in this run."
    return Table("Targets", ["target", "limit", "measured", "verdict"], rows, [note], words=4)
