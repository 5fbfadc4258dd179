import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault(
    "NAPARI_CONFIG", os.path.join(tempfile.mkdtemp(prefix="napari-"), "settings.yaml")
)

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of real head CT series; not part of the repository."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    root = Path(os.environ.get("RSNA_INPAINT_DATA", default)).resolve()
    if not root.is_dir():
        pytest.skip("real series absent: set RSNA_INPAINT_DATA to their folder")
    return root
