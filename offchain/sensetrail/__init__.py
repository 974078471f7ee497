"""Machine learning on sensor data, provable from the reading to the model."""

import sys as _sys
from contextlib import suppress as _suppress

__version__ = "0.1.0"

# The library behind Ethereum keystores raises the recursion limit to 100,000 as it is first imported. Deep recursion
# would then overflow the stack and kill the process, where Python otherwise raises an error.
_limit = _sys.getrecursionlimit()
with _suppress(ModuleNotFoundError):
    import py_ecc as _py_ecc  # noqa: F401 - for its side effect, which is undone
_sys.setrecursionlimit(_limit)
