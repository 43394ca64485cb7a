"""Inputs at which a worker process ends, as in a crash of compiled code."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from pymatgen.core import PeriodicSite, Structure


class DeadlyCrystal(Structure):
    """A crystal that ends any process but the one that made it by a segmentation fault."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.home = os.getpid()

    def __iter__(self) -> Iterator[PeriodicSite]:
        if os.getpid() != getattr(self, "home", os.getpid()):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().__iter__()


class DeadlyText(str):
    """A text that ends the process to which it is sent, without a word."""

    __slots__ = ()

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (1,)
