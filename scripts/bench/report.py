"""The bench's output: one table per section, and beside each figure that has a goal whether it meets it."""

from dataclasses import dataclass, field

NAME_WIDTH = 68
CELL_WIDTH = 12


@dataclass(slots=True)
class Report:
    """Prints rows as they are measured and remembers which goals were missed."""

    title: str = ""
    met: int = 0
    missed: list[str] = field(default_factory=list)

    def section(self, title: str, *columns: str) -> None:
        """The head of a table; columns name its cells."""
        self.title = title
        print()
        self.row(title, *columns)
        print("-" * (NAME_WIDTH + CELL_WIDTH * len(columns)))

    def row(self, name: str, *cells: str) -> None:
        """A line of a table."""
        print(f"{name:<{NAME_WIDTH}}" + "".join(f"{cell:>{CELL_WIDTH}}" for cell in cells), flush=True)

    def goal(self, name: str, *cells: str, goal: str, ok: bool) -> None:
        """A line whose last cell has a goal, and whether that is met."""
        if ok:
            self.met += 1
        else:
            self.missed.append(f"{name}: {cells[-1]}, goal {goal}  [{self.title}]")
        self.row(name, *cells, goal, "ok" if ok else "MISS")

    def at_most(self, name: str, *cells: str, measured: float, limit: float) -> None:
        """A line whose measured figure must not be above limit."""
        self.goal(name, *cells, f"{measured:.2f}", goal=f"<= {limit:.2f}", ok=round(measured, 2) <= limit)

    def at_least(self, name: str, *cells: str, measured: float, limit: float) -> None:
        """A line whose measured figure must not be below limit."""
        self.goal(name, *cells, f"{measured:.2f}", goal=f">= {limit:.2f}", ok=round(measured, 2) >= limit)

    def summary(self) -> None:
        """The last lines: how many goals were met, and which were not."""
        print(f"\n{self.met} of {self.met + len(self.missed)} goals met.")
        for name in self.missed:
            print(f"MISS  {name}")
