"""Grid detection: finds the straight seam between the panels of a 2 x 2 grid.

Legend: H, W of one picture.
"""

import numpy as np

from mole.views.view import Pixels

MIN_JUMP = 8  # grey levels between neighbours that count as a jump; the noise of a JPEG stays below
SEARCH_SHARE = 0.03  # of the side, to either side of the middle, where a seam is searched
CONTEXT_SHARE = 0.125  # of the side, within which a seam must stand out from other lines
MIN_SIDE = 16  # pixels per side; smaller pictures are not tested
MIN_CONTRAST = (
    0.5  # share of the line; of the 160 pictures of songguoxs, exactly the 109 collages are above (2026-11-26)
)


def has_seam(pixels_3HW: Pixels) -> bool:
    """Return whether a vertical or horizontal line through the middle divides a picture into panels.

    Along a seam most pixels differ from their neighbours across it, unlike along other lines nearby. Panels with the
    same background, such as figures on black, have no detectable seam.

    Args:
        pixels_3HW: uint8.
    """
    if min(pixels_3HW.shape[1:]) < MIN_SIDE:
        return False
    return max(_standing(pixels_3HW), _standing(pixels_3HW.transpose(0, 2, 1))) > MIN_CONTRAST


def _standing(pixels_3HW: Pixels) -> float:
    """Compare the share of jumps along the best line near the middle with the median of lines around it; uint8."""
    wide = pixels_3HW.shape[2]
    middle, around = wide // 2, max(4, round(CONTEXT_SHARE * wide))
    reach = max(2, round(SEARCH_SHARE * wide))
    band_3HN = pixels_3HW[:, :, max(0, middle - around - 1) : middle + around + 1].astype(np.int16)
    share_N = (np.abs(np.diff(band_3HN, axis=2)).max(axis=0) > MIN_JUMP).mean(axis=0)
    best = share_N[max(0, len(share_N) // 2 - reach) : len(share_N) // 2 + reach + 1].max()
    return float(best - np.median(share_N))
