"""A page of one's own: ask for crystals in a browser, look at them, take them along.

Importing needs no extra; serving does: ``pip install 'crystalicl-jobflow[web]'``.
"""

from __future__ import annotations

from crystalicl_jobflow.web.limits import Limits
from crystalicl_jobflow.web.serving import Address, check_installed, serve

__all__ = ["Address", "Limits", "check_installed", "serve"]
