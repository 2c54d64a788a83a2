"""Imports gunicorn and Flask without what the agent never uses of them. Import this before anything else of the two.

They import at the top of their files what only some of those need who use them: with all that this imports in turn, it
would be a third of the agent's memory. While they are imported something stands in for it that can be named and derived
from, which is all that happens then, and that raises when it is used after all. A version of theirs for which that is
not enough is imported with everything.
"""

import importlib
import sys
import types
from typing import Any

# What stands in for what, and what the real one would be wanted for.
_UNUSED = {
    "gunicorn.glogging": (
        "pkg_resources",  # of setuptools, in gunicorn 20.1: for workers and loggers that are named by an "egg:" URI
        "importlib.metadata",  # the same, in later versions
        "logging.config",  # a log that is described in a file
        "html.entities",  # to read HTML, not to write it
    ),
    "flask": (
        "jinja2",  # templates
        "jinja2.loaders",
        "jinja2.utils",
        "click",  # the command `flask`
        "flask.cli",
        "werkzeug.serving",  # a server and a client for developers
        "werkzeug.test",
        "werkzeug.formparser",  # a request with a body, of which none comes here
        "urllib.request",  # a parser of lists in headers
    ),
}


class _StandIn(types.ModuleType):
    """A module that has a class of any name."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError(f"{self.__name__}.{name} is wanted, which monitoring_agent/lean.py leaves out")

        return type(name, (), {"__init__": refuse})


class _NoCommands:
    """What a Flask application keeps its commands in."""


def _import(name: str, unused: tuple[str, ...]) -> None:
    before = set(sys.modules)
    stand_ins = {module: _StandIn(module) for module in unused if module not in before}
    if "flask.cli" in stand_ins:
        vars(stand_ins["flask.cli"])["AppGroup"] = _NoCommands
    sys.modules.update(stand_ins)
    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001  whatever comes of a stand-in
        for module in set(sys.modules) - before:
            del sys.modules[module]
        importlib.import_module(name)
    else:
        for module in stand_ins:
            del sys.modules[module]  # whoever really wants it gets the real one


for _name, _modules in _UNUSED.items():
    _import(_name, _modules)
