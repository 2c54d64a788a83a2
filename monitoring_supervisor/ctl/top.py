"""`monitoringctl top`: the fleet live in a terminal."""

import contextlib
import curses
import locale
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from monitoring_supervisor import views
from monitoring_supervisor.ctl import asking
from monitoring_supervisor.ctl.agents import percent
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.status import STATES, lasting, why
from monitoring_supervisor.ctl.tables import GAP, NARROW_COLUMN, Column, fitted, padded_cells
from monitoring_supervisor.ctl.text import agents, cut, padded, safe
from monitoring_supervisor.ctl.units import plain, short

ORDERS = (views.BY_STATE, *views.ORDERS, views.BY_NAME)
# The key of each order, and what the line at the foot says of it.
KEYS = {order[0]: order for order in ORDERS}
HELP = "q quit  s state  c cpu  m memory  l load  d disk  i in  o out  n name"
COLUMNS = (
    Column("AGENT"),
    Column("MACHINE", shrinks=True),
    Column("STATE"),
    Column("FOR", right=True),
    Column("LOAD", right=True),
    Column("CPU", right=True),
    Column("MEM", right=True),
    Column("DISK", right=True),
    Column("IN", right=True),
    Column("OUT", right=True),
)
SORTED_BY = {"state": 2, "load": 4, "cpu": 5, "memory": 6, "disk": 7, "in": 8, "out": 9, "name": 0}
COLOURS = {"up": 1, "new": 2, "suspect": 3, "down": 4}
CURSES_COLOURS = {
    "up": curses.COLOR_GREEN,
    "new": curses.COLOR_CYAN,
    "suspect": curses.COLOR_YELLOW,
    "down": curses.COLOR_RED,
}
REDRAW_KEY = "\x0c"  # Ctrl-L, for when something else wrote into the screen
INTERVALS = click.FloatRange(0.5, 3600)
QUIT_KEYS = {"q", "Q", "\x1b", "\x03"}


@dataclass
class View:
    """What is looked at."""

    by: str
    answer: dict[str, Any] | None = None
    trouble: str = ""
    ended: bool = False

    def end(self, *_: object) -> NoReturn:
        """For SIGINT. The interpreter may lose an exception that comes at a bad moment; then the next turn sees it."""
        self.ended = True
        raise KeyboardInterrupt


@click.command("top", short_help="The fleet live.")
@click.option("--sort", "by", type=click.Choice(ORDERS), default=views.BY_STATE, help="What comes first (state).")
@click.option("--interval", metavar="SECONDS", type=INTERVALS, default=2.0, help="The time between two looks (2).")
@click.pass_obj
def command(places: Places, by: str, interval: float) -> None:
    """The fleet live: who does not answer, or who has most to do, first.

    Keys: q or Ctrl-C ends it; s, c, m, l, d, i, o, n sort by state, processor, memory, load, disk, network in and
    out, and name.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise asking.CannotTell("top needs a terminal; for programs there is: monitoringctl agents --json")
    locale.setlocale(locale.LC_ALL, "")
    os.environ.setdefault("ESCDELAY", "25")
    line = _connected(places)  # before the screen is ours, so that what is wrong stays to be read
    view = View(by)
    signal.signal(signal.SIGINT, view.end)
    try:
        curses.wrapper(_run, places, line, view, interval)
    except KeyboardInterrupt:
        pass  # as good as q
    except curses.error as error:
        raise asking.CannotTell(f"this terminal cannot be used: {error}; is TERM right?") from None


def _connected(places: Places) -> asking.Line:
    try:
        return asking.Line(places)
    except asking.NotRunning as silence:
        raise asking.CannotTell(f"the supervisor does not run ({silence})") from None


def _run(screen: "curses.window", places: Places, line: asking.Line, view: View, interval: float) -> None:
    _set_up_colours()
    with contextlib.suppress(curses.error):
        curses.curs_set(0)
    connection: asking.Line | None = line
    due = 0.0
    while not view.ended:
        if time.monotonic() >= due:
            connection = _look(places, connection, view, screen.getmaxyx()[0])
            due = time.monotonic() + interval
        _draw(screen, view, interval)
        screen.timeout(max(0, round((due - time.monotonic()) * 1000)))
        key = _key(screen)
        if key in QUIT_KEYS:
            return
        if key in KEYS:
            view.by = KEYS[key]
        if key == REDRAW_KEY:
            screen.clearok(True)
        if key:
            due = 0.0  # also when the size changed: there may be room for more


def _key(screen: "curses.window") -> str:
    """The key that was pressed, `resize`, or nothing when the time was over."""
    with contextlib.suppress(curses.error):
        key = screen.get_wch()
        return key if isinstance(key, str) else "resize" if key == curses.KEY_RESIZE else ""
    return ""


def _look(places: Places, line: asking.Line | None, view: View, lines: int) -> asking.Line | None:
    """Ask again. A supervisor that went away is waited for; what was seen last stays on the screen."""
    try:
        line = line or asking.Line(places)
        view.answer = line.ask(ask="top", by=view.by, limit=max(1, min(lines, views.MAX_LIMIT)))
        view.trouble = ""
    except (asking.NotRunning, asking.CannotTell) as error:
        if line is not None:
            line.close()
        view.trouble = f"the supervisor does not answer: {error}"
        return None
    if "error" in view.answer:
        view.trouble, view.answer = safe(view.answer["error"]), None
    return line


def _draw(screen: "curses.window", view: View, interval: float) -> None:
    height, width = screen.getmaxyx()
    screen.erase()
    answer = view.answer
    if answer is not None:
        _put(screen, 0, width, _summary(answer, interval))
        _draw_table(screen, view.by, answer)
    if view.trouble:
        _put(screen, 1, width, view.trouble, _look_of("down"))
    _put(screen, height - 1, width, HELP, curses.A_DIM)
    screen.refresh()


def _draw_table(screen: "curses.window", by: str, answer: dict[str, Any]) -> None:
    height, width = screen.getmaxyx()
    rows = [_row(name, about, answer["at"]) for name, about in answer["agents"].items()]
    columns = _fitting(fitted(COLUMNS, rows, None), width)
    widths = fitted(COLUMNS[:columns], [row[:columns] for row in rows], width)
    titles = [column.title for column in COLUMNS]
    _put(screen, 2, width, padded_cells(COLUMNS[:columns], widths, titles[:columns]), curses.A_REVERSE)
    sorted_by = SORTED_BY[by]
    if sorted_by < columns:
        title = padded(titles[sorted_by], widths[sorted_by], right=COLUMNS[sorted_by].right)
        _put(screen, 2, width, title, curses.A_REVERSE | curses.A_BOLD | curses.A_UNDERLINE, _start(widths, sorted_by))
    for number, (row, about) in enumerate(zip(rows, answer["agents"].values(), strict=True)):
        if number < height - 4:
            _put_row(screen, 3 + number, widths, row[:columns], about)


def _fitting(widths: list[int], width: int) -> int:
    """How many columns there is room for, when the machines' names are cut short; at least up to the state."""
    columns = len(widths)
    while columns > 4 and _start(widths, columns) - (widths[1] - min(widths[1], NARROW_COLUMN)) > width + len(GAP):
        columns -= 1
    return columns


def _start(widths: list[int], column: int) -> int:
    return sum(widths[:column]) + len(GAP) * column


def _summary(answer: dict[str, Any], interval: float) -> str:
    counts = answer["counts"]
    parts = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state] or state == "up")
    at = time.strftime("%H:%M:%S", time.localtime(answer["at"]))
    troubles = "".join(f"; {safe(trouble)}" for trouble in answer["supervisor"].get("troubles", []))
    return f"{at}  {agents(sum(counts.values()))}: {parts}{troubles}  (every {interval:g} s)"


def _row(name: str, about: dict[str, Any], now: float) -> list[str]:
    vitals = about["vitals"] if about["state"] != "down" else {}
    traffic = (vitals.get(f"{way}_bytes_per_second") for way in ("received", "sent"))
    return [
        safe(name),
        safe(about["hostname"] or "-"),
        about["state"],
        lasting(about, now),
        plain(round(vitals["load"], 2)) if "load" in vitals else "-",
        *(percent(vitals.get(key)) for key in ("cpu_percent", "memory_percent", "disk_percent")),
        *("-" if value is None else short(value) for value in traffic),
    ]


def _put_row(screen: "curses.window", y: int, widths: list[int], row: Sequence[str], about: dict[str, Any]) -> None:
    width, state = screen.getmaxyx()[1], row[2]
    if state == "down":
        # Its numbers are not known; there is room to say why.
        head = padded_cells(COLUMNS[:4], widths[:4], row[:4])
        text = f"{head}  {why(about)}"
    else:
        text = padded_cells(COLUMNS[: len(row)], widths, row)
    _put(screen, y, width, text)
    _put(screen, y, width, state, _look_of(state), _start(widths, 2))


def _put(screen: "curses.window", y: int, width: int, text: str, look: int = 0, x: int = 0) -> None:
    """Write as much as there is room for. Curses complains about the last cell of the screen, and when it shrank."""
    encoding = locale.getpreferredencoding(False)
    # By the room that letters take, of which some take two columns: what is too much would go on in the next line.
    writable = cut(text, max(0, width - x)).encode(encoding, "replace").decode(encoding)
    with contextlib.suppress(curses.error):
        screen.addstr(y, x, writable, look)


def _set_up_colours() -> None:
    """Have a pair of colours for each state. The terminal's own ones stay what they are."""
    if not curses.has_colors():
        return
    curses.use_default_colors()
    for state, pair in COLOURS.items():
        curses.init_pair(pair, CURSES_COLOURS[state], -1)


def _look_of(state: str) -> int:
    return curses.color_pair(COLOURS[state]) if curses.has_colors() and not os.environ.get("NO_COLOR") else 0
