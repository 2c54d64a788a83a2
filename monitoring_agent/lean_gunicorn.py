"""Imports gunicorn without setuptools. Import this before anything else of gunicorn.

gunicorn 20.1 imports pkg_resources, a module of setuptools, only to look for workers and loggers that are named by an
"egg:" URI, which ours are not. With all that this imports in turn, it would be a fifth of the agent's memory.
"""

import importlib
import sys
import types

_STAND_IN = types.ModuleType("pkg_resources", "Has nothing: nobody asks it for anything.")

if sys.modules.setdefault("pkg_resources", _STAND_IN) is _STAND_IN:
    importlib.import_module("gunicorn.util")
    del sys.modules["pkg_resources"]  # whoever really wants it gets the real one
