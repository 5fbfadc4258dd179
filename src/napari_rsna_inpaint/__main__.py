"""``python -m napari_rsna_inpaint`` is the command ``rsna-inpaint``."""

import sys

from napari_rsna_inpaint.cli import main

sys.exit(main())
