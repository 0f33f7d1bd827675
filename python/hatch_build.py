"""Puts what `packaging/wheel` staged into the wheel: the program among the scripts, Jupyter's files among the data."""

import os
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Staged(BuildHookInterface):
    """Needs CONVSCOPE_STAGE (a folder with bin/ and share/) and CONVSCOPE_PLATFORM (the wheel's platform tag)."""

    def initialize(self, version, build_data):
        stage, platform = os.environ.get("CONVSCOPE_STAGE"), os.environ.get("CONVSCOPE_PLATFORM")
        if not stage or not platform:
            raise SystemExit("the wheel is built by packaging/wheel, which stages the program first")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["shared_scripts"] = {str(path): path.name for path in sorted(Path(stage, "bin").iterdir())}
        build_data["shared_data"] = {str(Path(stage, "share")): "share"}
