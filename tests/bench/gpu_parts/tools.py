"""Where NVIDIA's tools may be, beside $PATH."""

import glob
import os
import shutil

PLACES = ("/usr/local/cuda/bin/{}", "/usr/local/cuda-*/bin/{}", "/opt/nvidia/nsight-compute/*/{}")


def find(name):
    """The tool's path, or None. Of several versions the last by name."""
    on_path = shutil.which(name)
    if on_path:
        return on_path
    for place in PLACES:
        found = [path for path in sorted(glob.glob(place.format(name))) if os.access(path, os.X_OK)]
        if found:
            return found[-1]
    return None
