"""How PyTorch's threads wait is set before PyTorch is loaded, unless the user has set it."""

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
import napari_rsna_inpaint
assert "torch" not in sys.modules
print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, "50000 None"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None ACTIVE"),
    ],
)
def test_the_user_decides(user, expected):
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=clean | user, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
