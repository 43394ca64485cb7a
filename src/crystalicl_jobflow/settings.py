"""Settings from ``CRYSTALICL_*`` environment variables and ``~/.crystalicl.yaml``."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

EMBEDDED_MODEL = "embedded"
"""Name under which the model that ships with the package is asked for."""


def _config_file() -> Path:
    return Path(os.environ.get("CRYSTALICL_CONFIG_FILE", "~/.crystalicl.yaml")).expanduser()


class CrystalICLSettings(BaseSettings):
    """Defaults that a user may change for every run.

    An explicit argument of a function, Maker or command wins over the environment
    (``CRYSTALICL_SYMPREC=0.05``), which wins over the YAML file
    (``~/.crystalicl.yaml``, or the file named by ``CRYSTALICL_CONFIG_FILE``).
    """

    model_config = SettingsConfigDict(env_prefix="CRYSTALICL_", extra="ignore")

    SYMPREC: float = Field(0.1, gt=0, description="Symmetry tolerance for spglib, in Å.")
    MODEL: str = Field(EMBEDDED_MODEL, description="Base model: a name, a path or 'embedded'.")
    ADAPTER: str | None = Field(None, description="LoRA adapter: a name or path; None for none.")
    DEVICE: str = Field("auto", description="Torch device: 'auto', 'cpu', 'cuda', 'cuda:1', …")
    BATCH_SIZE: int = Field(32, ge=1, description="Samples generated at once, at most.")
    NUM_THREADS: int | None = Field(
        None, ge=1, description="Torch threads; None leaves torch's own choice."
    )
    SERVER: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of model servers, as JSON in the environment: see docs/servers.md.",
    )
    MAX_ATOMS: int = Field(
        60, ge=1, description="Most atoms in the primitive cell of a generated crystal."
    )

    EVIDENCE_WEIGHTS: str | None = Field(
        None,
        description="File with the weights of the ranking by evidence, as `crystalicl benchmark"
        " evidence` writes it. None: those of the package.",
    )

    GROUP_WEIGHTS: str | None = Field(
        None,
        description="File of the weights with which a pool's crystals count for the space groups of"
        " a formula, as `crystalicl benchmark groups` writes it; None: the fitted ones of the"
        " package.",
    )
    POTENTIALS: str | None = Field(
        None,
        description="Folder with potentials and predictors that matgl has saved, a folder each:"
        " they are looked for there before they are fetched from the hub.",
    )
    RESUME_DIR: str | None = Field(
        None,
        description="Folder where generation and force-field jobs keep what they have written until"
        " they are done; every worker of a job must see it. None: 'unfinished' in the cache folder;"
        " 'none': nothing is kept.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic names it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic names it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the YAML file below the environment."""
        return (
            init_settings,
            env_settings,
            YamlConfigSettingsSource(settings_cls, yaml_file=_config_file()),
        )


def cache_folder() -> Path:
    """Return the folder for what is built once: ``CRYSTALICL_CACHE_DIR`` or ~/.cache."""
    named = os.environ.get("CRYSTALICL_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "crystalicl"


def made_cache_folder() -> Path:
    """Return the cache folder, made where it does not exist.

    Raises
    ------
    ValueError
        If it cannot be written to; the message names the setting.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise ValueError(
            f"the cache folder {folder} cannot be written to: name another one in"
            " CRYSTALICL_CACHE_DIR"
        )
    return folder


def resume_folder() -> Path | None:
    """Return the folder of unfinished jobs (``RESUME_DIR``), or None for nowhere.

    Where none is named and the cache folder cannot be written to, nothing is kept.
    """
    named = SETTINGS.RESUME_DIR
    if named is None:
        try:
            return made_cache_folder() / "unfinished"
        except ValueError as error:
            logging.getLogger(__name__).warning("unfinished work is not kept: %s", error)
            return None
    return None if named.lower() in ("", "none") else Path(named).expanduser()


def _read_settings() -> CrystalICLSettings:
    """Return the settings.

    Raises
    ------
    ValueError
        If the file cannot be read, or a value makes no sense; one line that says which.
    """
    path = _config_file()
    try:
        return CrystalICLSettings()
    except ValidationError as error:
        faults = "; ".join(
            f"CRYSTALICL_{'.'.join(map(str, item['loc']))}: {item['msg']}"
            for item in error.errors()
        )
        raise ValueError(f"setting {faults} (from the environment or {path})") from None
    except (YAMLError, TypeError, OSError, UnicodeDecodeError, SettingsError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"the settings cannot be read (environment or {path}): {reason}") from None


SETTINGS = _read_settings()
